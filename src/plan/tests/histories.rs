//! Random histories of a stream: whatever happens, what is wanted ends covered.

use proptest::prelude::*;

use super::*;

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
        phase: Option<i64>,
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
        1 => (1i64..400, 1i64..400, 1i64..200, proptest::option::of(0i64..200))
            .prop_map(|(length, max_window, poll_interval, phase)| Event::Policy { length, max_window, poll_interval, phase }),
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
                phase,
            } => {
                self.progress.length = seconds(length);
                self.policy.max_window = seconds(max_window);
                self.policy.poll_interval = seconds(poll_interval);
                self.policy.phase = phase.map(|phase| seconds(phase % poll_interval));
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
