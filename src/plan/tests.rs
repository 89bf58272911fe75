//! Properties of the planner, and the cases that explain it.

use proptest::prelude::*;

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn window(start: i64, end: i64) -> Window {
    Window::new(at(start), at(end)).unwrap()
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

fn policy() -> Policy {
    Policy {
        unit: seconds(1),
        max_window: seconds(1000),
        lag: seconds(30),
        overlap: seconds(0),
        poll_interval: seconds(60),
        again: Vec::new(),
    }
}

fn progress(wanted_from: i64) -> Progress {
    Progress {
        wanted_from: at(wanted_from),
        coverage: IntervalSet::default(),
        open: Vec::new(),
        length: seconds(100),
        passes: Vec::new(),
    }
}

fn windows(plan: &Plan) -> Vec<(i64, i64, Lane)> {
    plan.open
        .iter()
        .map(|p| {
            (
                p.window.start().timestamp(),
                p.window.end().timestamp(),
                p.lane,
            )
        })
        .collect()
}

fn goal(horizon: i64, eager: bool) -> Goal {
    Goal {
        horizon: at(horizon),
        eager,
    }
}

#[test]
fn the_newest_gap_comes_first() {
    let plan = plan(&progress(0), &policy(), goal(1000, false), at(1030), 3);
    assert_eq!(
        windows(&plan),
        [
            (900, 1000, Lane::Live),
            (800, 900, Lane::Live),
            (700, 800, Lane::Live)
        ]
    );
}

#[test]
fn what_is_older_than_a_day_is_backfill() {
    let mut progress = progress(0);
    progress.coverage.add(window(100_000, 200_000));
    let plan = plan(&progress, &policy(), goal(200_000, false), at(200_030), 1);
    assert_eq!(windows(&plan), [(99_900, 100_000, Lane::Backfill)]);
}

#[test]
fn a_poll_waits_for_its_interval_and_reads_back_by_the_overlap() {
    let mut progress = progress(0);
    progress.coverage.add(window(0, 1000));
    let policy = Policy {
        overlap: seconds(10),
        ..policy()
    };
    assert_eq!(
        windows(&plan(&progress, &policy, goal(1059, false), at(1089), 2)),
        []
    );
    assert_eq!(
        windows(&plan(&progress, &policy, goal(1060, false), at(1090), 2)),
        [(990, 1060, Lane::Live)]
    );
    assert_eq!(
        windows(&plan(&progress, &policy, goal(1001, true), at(1031), 2)),
        [(990, 1001, Lane::Live)]
    );
    assert_eq!(next_look(&progress, &policy), at(1090));
}

/// After a standstill the head is read in several windows, whose newest is read first.
#[test]
fn whatever_follows_what_is_read_reads_back_by_the_overlap() {
    let policy = Policy {
        overlap: seconds(10),
        max_window: seconds(100),
        ..policy()
    };
    let mut progress = progress(0);
    progress.coverage.add(window(0, 1000));
    let due = |progress: &Progress, horizon: i64| {
        let goal = goal(horizon, false);
        windows(&plan(progress, &policy, goal, at(horizon + 30), 9))
    };
    // No window is longer than the longest.
    let oldest = [(1090, 1100, Lane::Live), (990, 1090, Lane::Live)];
    let newer = [(1200, 1300, Lane::Live), (1100, 1200, Lane::Live)];
    assert_eq!(due(&progress, 1300), [newer, oldest].concat());
    // The newest is read; the oldest still follows what was read before.
    progress.coverage.add(window(1200, 1300));
    assert_eq!(due(&progress, 1300)[1..], oldest);
    // What is being read was perhaps asked for before the row was shown.
    progress.open.push(Planned {
        window: window(1300, 1360),
        lane: Lane::Live,
        tier: None,
    });
    assert_eq!(due(&progress, 1450)[0], (1350, 1450, Lane::Live));
}

#[test]
fn a_head_that_is_not_due_yet_is_no_gap_to_report() {
    let mut progress = progress(0);
    progress.open.push(Planned {
        window: window(900, 1000),
        lane: Lane::Live,
        tier: None,
    });
    // Older windows are opened while the head has moved on.
    let plan = plan(&progress, &policy(), goal(1002, false), at(1032), 1);
    assert_eq!(windows(&plan), [(800, 900, Lane::Live)]);
    let until = |goal| due_until(&progress, &policy(), goal);
    assert_eq!(until(goal(1002, false)), at(1000));
    assert_eq!(until(goal(1002, true)), at(1002));
    assert_eq!(until(goal(1060, false)), at(1060));
}

#[test]
fn a_short_rest_is_not_left_over() {
    let plan = plan(&progress(0), &policy(), goal(140, false), at(170), 9);
    assert_eq!(windows(&plan), [(0, 140, Lane::Live)]);
}

#[test]
fn an_earlier_start_is_one_more_gap() {
    let mut progress = progress(0);
    progress.coverage.add(window(50, 1000));
    let plan = plan(&progress, &policy(), goal(1000, false), at(1030), 9);
    assert_eq!(windows(&plan), [(0, 50, Lane::Live)]);
}

#[test]
fn tiers_of_age_are_read_again_when_they_are_due() {
    let policy = Policy {
        again: vec![again(Lane::Rescan, 150, 3600)],
        ..policy()
    };
    let mut progress = progress(0);
    progress.coverage.add(window(0, 1000));
    let first = plan(&progress, &policy, goal(1000, false), at(1030), 9);
    assert!(first.open.is_empty(), "the first reading is the first pass");
    progress.passes = first.begin;
    assert!(
        plan(&progress, &policy, goal(1000, false), at(1031), 9)
            .begin
            .is_empty()
    );

    let due = plan(&progress, &policy, goal(1000, false), at(1030 + 3600), 9);
    assert_eq!(windows(&due), [(850, 1000, Lane::Rescan)]);
    progress.passes = due.begin;
    progress.open = due.open;
    assert!(
        plan(&progress, &policy, goal(1000, false), at(9000), 9)
            .open
            .is_empty(),
        "it is being read"
    );
    assert!(!is_complete(&progress, &policy, goal(1000, false)));
    // A tier that was taken out of the configuration is not waited for.
    progress.open.clear();
    let without = Policy {
        again: Vec::new(),
        ..policy
    };
    assert!(is_complete(&progress, &without, goal(1000, false)));
}

fn again(lane: Lane, within: i64, every: i64) -> Again {
    Again {
        lane,
        tier: Tier {
            within: seconds(within),
            every: seconds(every),
        },
    }
}

#[test]
fn lanes_that_look_again_do_not_mix() {
    let day = 86_400;
    let policy = Policy {
        max_window: seconds(100),
        again: vec![
            again(Lane::Rescan, 2 * day, 3600),
            again(Lane::Repoll, 2 * day, 3600),
            again(Lane::Audit, 2 * day, 3600),
        ],
        ..policy()
    };
    let mut progress = progress(0);
    progress.coverage.add(window(0, 3 * day));
    let goal = goal(3 * day, false);
    progress.passes = plan(&progress, &policy, goal, at(3 * day), 9).begin;
    assert_eq!(progress.passes.len(), 3);
    let due = plan(&progress, &policy, goal, at(3 * day + 3600), 5);
    assert_eq!(
        windows(&due),
        [
            (3 * day - 100, 3 * day, Lane::Rescan),
            (3 * day - 200, 3 * day - 100, Lane::Rescan),
            (3 * day - 300, 3 * day - 200, Lane::Rescan),
            (3 * day - 400, 3 * day - 300, Lane::Rescan),
            (3 * day - 500, 3 * day - 400, Lane::Rescan),
        ]
    );
    // What is asked for by id is one window, what is counted one of each day.
    progress.passes = due.begin;
    for pass in &mut progress.passes {
        if pass.lane == Lane::Rescan {
            pass.remaining = IntervalSet::default();
        }
    }
    let rest = plan(&progress, &policy, goal, at(3 * day + 3600), 5);
    assert_eq!(
        windows(&rest),
        [
            (day, 3 * day, Lane::Repoll),
            (2 * day, 3 * day, Lane::Audit),
            (day, 2 * day, Lane::Audit),
        ]
    );
    // None of them is a gap being filled.
    progress.coverage.remove(window(day, 2 * day));
    progress.open = rest.open;
    assert_eq!(
        gaps(&progress, goal.horizon).windows(),
        [window(day, 2 * day)]
    );
}

/// What may happen to a stream between two looks of the planner.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The open window with this index (modulo their number) is read to its end.
    Close(usize),
    /// It is split in halves.
    Split(usize),
    /// The process dies; what is open is stored and stays.
    Crash,
    /// The operator changes the policy.
    Policy {
        length: i64,
        max_window: i64,
        poll_interval: i64,
    },
    /// The operator wants more history.
    EarlierStart(i64),
    /// Time goes on.
    Wait(i64),
    /// Planning, with this much room.
    Plan(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any::<usize>().prop_map(Event::Close),
        2 => any::<usize>().prop_map(Event::Split),
        1 => Just(Event::Crash),
        1 => (1i64..400, 1i64..400, 1i64..200)
            .prop_map(|(length, max_window, poll_interval)| Event::Policy { length, max_window, poll_interval }),
        1 => (0i64..50).prop_map(Event::EarlierStart),
        2 => (0i64..300).prop_map(Event::Wait),
        6 => (1usize..5).prop_map(Event::Plan),
    ]
}

/// A stream as the database would hold it, with a count of how often each second was read.
struct World {
    progress: Progress,
    policy: Policy,
    now: i64,
    read: Vec<u32>,
    /// When the window was opened that each second was last read in.
    read_at: Vec<i64>,
    /// When each open window was opened.
    opened_at: Vec<i64>,
}

impl World {
    fn new() -> Self {
        Self {
            progress: progress(60),
            policy: policy(),
            now: 200,
            read: vec![0; 40_000],
            read_at: vec![0; 40_000],
            opened_at: Vec::new(),
        }
    }

    fn close(&mut self, index: usize) {
        let planned = self.progress.open.remove(index);
        let opened_at = self.opened_at.remove(index);
        for second in planned.window.start().timestamp()..planned.window.end().timestamp() {
            let second = usize::try_from(second).unwrap();
            self.read[second] += 1;
            self.read_at[second] = self.read_at[second].max(opened_at);
        }
        self.progress.coverage.add(planned.window);
    }

    fn apply(&mut self, event: Event) {
        let open = self.progress.open.len();
        match event {
            Event::Close(index) if open > 0 => self.close(index % open),
            Event::Split(index) if open > 0 => {
                let planned = self.progress.open[index % open];
                if let Some((left, right)) = planned.window.split(self.policy.unit) {
                    self.progress.open.remove(index % open);
                    let opened_at = self.opened_at.remove(index % open);
                    self.opened_at.extend([opened_at; 2]);
                    self.progress
                        .open
                        .extend([left, right].map(|window| Planned { window, ..planned }));
                }
            }
            Event::Close(_) | Event::Split(_) | Event::Crash => {}
            Event::Policy {
                length,
                max_window,
                poll_interval,
            } => {
                self.progress.length = seconds(length);
                self.policy.max_window = seconds(max_window);
                self.policy.poll_interval = seconds(poll_interval);
            }
            Event::EarlierStart(second) => {
                self.progress.wanted_from = self.progress.wanted_from.min(at(second));
            }
            Event::Wait(time) => self.now += time,
            Event::Plan(room) => self.plan(room, false),
        }
    }

    fn plan(&mut self, room: usize, eager: bool) {
        let goal = Goal {
            horizon: self.policy.horizon(at(self.now)),
            eager,
        };
        let plan = plan(&self.progress, &self.policy, goal, at(self.now), room);
        assert!(plan.open.len() <= room);
        for planned in &plan.open {
            assert!(planned.window.length() <= self.policy.max_window);
            self.opened_at.push(self.now);
        }
        self.progress.open.extend(plan.open);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens in between, the wanted range ends covered, each second read once, and the
    /// loop ends.
    #[test]
    fn the_wanted_range_ends_covered_exactly_once(events in proptest::collection::vec(event(), 0..80)) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
        }
        let horizon = world.policy.horizon(at(world.now));
        let goal = Goal { horizon, eager: true };
        let mut rounds = 0;
        while !is_complete(&world.progress, &world.policy, goal) {
            world.plan(3, true);
            prop_assert!(!world.progress.open.is_empty(), "gaps are left and nothing is planned");
            world.close(0);
            rounds += 1;
            prop_assert!(rounds < 40_000, "the loop does not end");
        }
        let wanted = world.progress.wanted_from.timestamp()..horizon.timestamp();
        for second in wanted.clone() {
            prop_assert_eq!(world.read[usize::try_from(second).unwrap()], 1, "second {}", second);
        }
        prop_assert_eq!(world.progress.coverage.windows(), [window(wanted.start, wanted.end)]);
        prop_assert_eq!(gaps(&world.progress, horizon), IntervalSet::default());
    }

    /// With an overlap every second is read at least once, and nothing before the start is.
    #[test]
    fn an_overlap_loses_nothing(events in proptest::collection::vec(event(), 0..80), overlap in 1i64..100) {
        let mut world = World::new();
        world.policy.overlap = seconds(overlap);
        for event in events {
            world.apply(event);
        }
        let goal = Goal { horizon: world.policy.horizon(at(world.now)), eager: true };
        while !is_complete(&world.progress, &world.policy, goal) {
            world.plan(3, true);
            world.close(0);
        }
        let start = world.progress.wanted_from.timestamp();
        for second in start..goal.horizon.timestamp() {
            prop_assert!(world.read[usize::try_from(second).unwrap()] >= 1);
        }
        prop_assert!(world.read[..usize::try_from(start).unwrap()].iter().all(|&count| count == 0));
    }

    /// A row that the provider shows late, by no more than the overlap, is asked for once it is shown.
    #[test]
    fn what_is_shown_late_is_asked_for_again(events in proptest::collection::vec(event(), 0..80), overlap in 1i64..100) {
        let mut world = World::new();
        world.policy.overlap = seconds(overlap);
        for event in events {
            world.apply(event);
            // Half a window must be left for what is new.
            world.policy.max_window = world.policy.max_window.max(seconds(2 * overlap));
        }
        let horizon = world.policy.horizon(at(world.now));
        while !is_complete(&world.progress, &world.policy, Goal { horizon, eager: true }) {
            world.plan(3, true);
            world.close(0);
        }
        let start = world.progress.wanted_from.timestamp();
        for second in start..horizon.timestamp() - overlap {
            let read_at = world.read_at[usize::try_from(second).unwrap()];
            prop_assert!(read_at >= second + overlap, "second {} was last asked for at {}", second, read_at);
        }
    }
}
