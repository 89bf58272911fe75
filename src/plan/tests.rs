//! Properties of the planner, and the cases that explain it.

mod histories;

use super::*;
use paysync_provider::Tier;

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
        phase: None,
        rechecks: Vec::new(),
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

/// Windows are read side by side until the end; lengths of an hour are not divided.
#[test]
fn the_rest_of_a_history_is_divided() {
    let day = TimeDelta::days(1);
    let policy = Policy {
        max_window: day,
        ..policy()
    };
    let hours = |until: TimeDelta, open: &[(i64, i64)], room| {
        let mut progress = progress(0);
        progress.length = day;
        progress.open = open
            .iter()
            .map(|(from, to)| Planned {
                window: window(from * 3600, to * 3600),
                lane: Lane::Backfill,
                tier: None,
            })
            .collect();
        let end = until.num_seconds();
        let plan = plan(&progress, &policy, goal(end, true), at(end + 30), room);
        let windows = plan.open.iter();
        windows
            .map(|planned| planned.window.length().num_hours())
            .collect::<Vec<_>>()
    };
    assert_eq!(hours(day, &[], 2), [12, 12]);
    assert_eq!(hours(day, &[], 1), [24]);
    assert_eq!(hours(day * 3, &[], 2), [24, 24]);
    // One of two windows is still being read.
    assert_eq!(hours(day * 2, &[(24, 48)], 1), [12]);
    assert_eq!(hours(day * 2, &[(12, 36)], 1), [12]);
    // Lengths are no less than a quarter of a window.
    assert_eq!(hours(TimeDelta::hours(7), &[], 2), [7]);
    assert_eq!(hours(TimeDelta::hours(12), &[], 4), [6, 6]);
}

#[test]
fn what_is_older_than_a_day_is_backfill() {
    let mut progress = progress(0);
    progress.coverage.add(window(100_000, 200_000));
    let plan =
        |progress: &Progress| plan(progress, &policy(), goal(200_000, false), at(200_030), 1);
    assert_eq!(
        windows(&plan(&progress)),
        [(99_900, 100_000, Lane::Backfill)]
    );
    // A window that ends just a day ago is, too.
    progress.coverage = IntervalSet::from_iter([window(113_600, 200_000)]);
    assert_eq!(
        windows(&plan(&progress)),
        [(113_500, 113_600, Lane::Backfill)]
    );
    progress.coverage = IntervalSet::from_iter([window(113_601, 200_000)]);
    assert_eq!(windows(&plan(&progress)), [(113_501, 113_601, Lane::Live)]);
}

/// The overlap reads back neither beyond what is read, nor beyond what is wanted.
#[test]
fn the_overlap_has_bounds() {
    let policy = Policy {
        overlap: seconds(60),
        ..policy()
    };
    for (wanted_from, start) in [(0, 500), (510, 510)] {
        let mut progress = progress(wanted_from);
        progress.length = seconds(1000);
        progress.coverage.add(window(500, 520));
        let plan = plan(&progress, &policy, goal(1000, false), at(1030), 1);
        assert_eq!(windows(&plan), [(start, 1000, Lane::Live)]);
    }
}

#[test]
fn the_next_wakeup_is_a_poll_or_a_pass_whichever_comes_first() {
    let wakeup = |every| {
        let mut progress = progress(0);
        progress.coverage.add(window(0, 600));
        progress.passes.push(Pass {
            lane: Lane::Rescan,
            within: seconds(1000),
            started_at: at(600),
            remaining: IntervalSet::default(),
        });
        let policy = Policy {
            rechecks: vec![recheck(Lane::Rescan, 1000, every)],
            ..policy()
        };
        next_wakeup(&progress, &policy)
    };
    assert_eq!(wakeup(50), at(650));
    assert_eq!(wakeup(1000), at(600 + 60 + 30));
}

/// Whatever is covered, the next poll falls on the account's place in the interval.
#[test]
fn polls_fall_on_their_own_seconds() {
    let policy = Policy {
        phase: Some(seconds(17)),
        ..policy()
    };
    let mut progress = progress(0);
    for (covered, poll) in [(600, 617), (616, 617), (617, 677), (659, 677)] {
        progress.coverage = IntervalSet::from_iter([Window::new(at(0), at(covered)).unwrap()]);
        let due = |horizon| {
            !plan(
                &progress,
                &policy,
                goal(horizon, false),
                at(horizon + 30),
                9,
            )
            .open
            .is_empty()
        };
        assert!(!due(poll - 1), "{covered}");
        assert!(due(poll), "{covered}");
        assert_eq!(next_wakeup(&progress, &policy), at(poll + 30));
    }
}

/// Where the filter takes whole days only, there is nothing to read before the next day.
#[test]
fn a_stream_of_days_is_polled_once_a_day() {
    let day = TimeDelta::days(1);
    let policy = Policy {
        unit: day,
        ..policy()
    };
    let mut progress = progress(0);
    progress.coverage = IntervalSet::from_iter([Window::new(at(0), at(0) + day).unwrap()]);
    assert_eq!(next_wakeup(&progress, &policy), at(30) + day * 2);
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
    assert_eq!(next_wakeup(&progress, &policy), at(1090));
}

/// After a pause the head is read in several windows, the newest first.
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
    // The request of a window that is being read may be older than the row.
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
        rechecks: vec![recheck(Lane::Rescan, 150, 3600)],
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
    // A tier that is no longer configured has nothing to do.
    progress.open.clear();
    let without = Policy {
        rechecks: Vec::new(),
        ..policy
    };
    assert!(is_complete(&progress, &without, goal(1000, false)));
}

fn recheck(lane: Lane, within: i64, every: i64) -> Recheck {
    Recheck {
        lane,
        tier: Tier {
            within: seconds(within),
            every: seconds(every),
        },
    }
}

#[test]
fn lanes_that_recheck_do_not_mix() {
    let day = 86_400;
    let policy = Policy {
        max_window: seconds(100),
        rechecks: vec![
            recheck(Lane::Rescan, 2 * day, 3600),
            recheck(Lane::Repoll, 2 * day, 3600),
            recheck(Lane::Audit, 2 * day, 3600),
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
    // A repoll is one window, an audit one of each day.
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
