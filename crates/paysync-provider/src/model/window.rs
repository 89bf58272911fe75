//! Half-open windows of time, and sets of windows.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// The instants from `start` up to, not including, `end`. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Window {
    /// The window `[start, end)`; none if it is empty.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The first instant of the window.
    pub const fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// The first instant after the window.
    pub const fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// The duration from start to end.
    pub fn length(&self) -> TimeDelta {
        self.end - self.start
    }

    /// Whether the window includes `instant`.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.start <= instant && instant < self.end
    }

    /// The window common to both; none if they are disjoint.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// Two adjacent halves, split at a multiple of `unit` since the epoch; none if there is no multiple
    /// inside.
    pub fn split(&self, unit: TimeDelta) -> Option<(Self, Self)> {
        let middle = floor(self.start + self.length() / 2, unit);
        let middle = if middle > self.start {
            middle
        } else {
            ceil(self.start + TimeDelta::microseconds(1), unit)
        };
        Some((Self::new(self.start, middle)?, Self::new(middle, self.end)?))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |instant: DateTime<Utc>| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(formatter, "[{}, {})", text(self.start), text(self.end))
    }
}

/// The last multiple of `unit` since the epoch that is not after `instant`.
pub fn floor(instant: DateTime<Utc>, unit: TimeDelta) -> DateTime<Utc> {
    let unit = unit.num_microseconds().unwrap_or(1).max(1);
    let micros = instant.timestamp_micros();
    DateTime::from_timestamp_micros(micros - micros.rem_euclid(unit)).unwrap_or(instant)
}

/// The first multiple of `unit` since the epoch that is not before `instant`.
pub fn ceil(instant: DateTime<Utc>, unit: TimeDelta) -> DateTime<Utc> {
    let floored = floor(instant, unit);
    if floored == instant {
        instant
    } else {
        floored + unit
    }
}

/// A set of instants, as disjoint windows in order; adjacent windows are merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntervalSet(Vec<Window>);

impl IntervalSet {
    /// The windows, oldest first; no two are adjacent.
    pub fn windows(&self) -> &[Window] {
        &self.0
    }

    /// Whether the set has no instant.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The end of the newest window.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.0.last().map(Window::end)
    }

    /// The start of the oldest window.
    pub fn start(&self) -> Option<DateTime<Utc>> {
        self.0.first().map(Window::start)
    }

    /// The total duration.
    pub fn length(&self) -> TimeDelta {
        self.0.iter().map(Window::length).sum()
    }

    /// Adds the instants of a window.
    pub fn add(&mut self, window: Window) {
        let mut merged = window;
        let mut disjoint = Vec::with_capacity(self.0.len() + 1);
        for other in self.0.drain(..) {
            if other.end < merged.start || merged.end < other.start {
                disjoint.push(other);
            } else {
                merged = Window {
                    start: merged.start.min(other.start),
                    end: merged.end.max(other.end),
                };
            }
        }
        let index = disjoint.partition_point(|other| other.start < merged.start);
        disjoint.insert(index, merged);
        self.0 = disjoint;
    }

    /// Removes the instants of a window.
    pub fn remove(&mut self, window: Window) {
        let pieces = |other: &Window| {
            let before = Window::new(other.start, other.end.min(window.start));
            let after = Window::new(other.start.max(window.end), other.end);
            [before, after].into_iter().flatten()
        };
        self.0 = self.0.iter().flat_map(pieces).collect();
    }

    /// The instants in both `self` and `window`.
    #[must_use]
    pub fn within(&self, window: Window) -> Self {
        let common = |other: &Window| other.intersection(&window);
        Self(self.0.iter().filter_map(common).collect())
    }

    /// The instants in `self` but not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for window in &other.0 {
            rest.remove(*window);
        }
        rest
    }

    /// Whether the set includes every instant of `window`.
    pub fn covers(&self, window: Window) -> bool {
        let covers = |other: &Window| other.start <= window.start && window.end <= other.end;
        self.0.iter().any(covers)
    }
}

impl FromIterator<Window> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = Window>>(windows: I) -> Self {
        let mut set = Self::default();
        for window in windows {
            set.add(window);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn window(start: i64, end: i64) -> Window {
        Window::new(at(start), at(end)).unwrap()
    }

    /// The whole seconds of a set: a reference model.
    fn seconds(set: &IntervalSet) -> BTreeSet<i64> {
        set.windows()
            .iter()
            .flat_map(|w| w.start().timestamp()..w.end().timestamp())
            .collect()
    }

    #[test]
    fn a_window_includes_its_start_but_not_its_end() {
        assert!(Window::new(at(5), at(5)).is_none());
        assert!(Window::new(at(6), at(5)).is_none());
        assert!(window(1, 3).contains(at(1)));
        assert!(!window(1, 3).contains(at(3)));
    }

    #[test]
    fn halves_meet_at_a_multiple_of_the_unit() {
        let second = TimeDelta::seconds(1);
        assert_eq!(
            window(0, 3).split(second),
            Some((window(0, 1), window(1, 3)))
        );
        assert_eq!(
            window(0, 2).split(second),
            Some((window(0, 1), window(1, 2)))
        );
        assert_eq!(window(0, 1).split(second), None);
        let odd = Window::new(at(0) + TimeDelta::milliseconds(900), at(2)).unwrap();
        let (left, right) = odd.split(second).unwrap();
        assert_eq!(
            (left.start(), left.end(), right.end()),
            (odd.start(), at(1), odd.end())
        );
    }

    #[test]
    fn adjacent_windows_merge() {
        let set: IntervalSet = [window(0, 2), window(4, 6), window(2, 4)]
            .into_iter()
            .collect();
        assert_eq!(set.windows(), [window(0, 6)]);
    }

    proptest! {
        #[test]
        fn sets_agree_with_sets_of_seconds(
            steps in proptest::collection::vec((any::<bool>(), 0i64..60, 1i64..20), 0..30),
            cut in (0i64..60, 1i64..40),
        ) {
            let mut set = IntervalSet::default();
            let mut model = BTreeSet::new();
            for (add, start, length) in steps {
                let span = window(start, start + length);
                if add {
                    set.add(span);
                    model.extend(start..start + length);
                } else {
                    set.remove(span);
                    model.retain(|second| !(start..start + length).contains(second));
                }
                prop_assert_eq!(&seconds(&set), &model);
                prop_assert!(set.windows().windows(2).all(|pair| pair[0].end() < pair[1].start()));
            }
            let range = window(cut.0, cut.0 + cut.1);
            let inside: BTreeSet<i64> = model.range(cut.0..cut.0 + cut.1).copied().collect();
            prop_assert_eq!(seconds(&set.within(range)), inside.clone());
            prop_assert_eq!(set.covers(range), inside.len() == usize::try_from(cut.1).unwrap());
            let holes: BTreeSet<i64> = (cut.0..cut.0 + cut.1).filter(|second| !model.contains(second)).collect();
            prop_assert_eq!(seconds(&IntervalSet::from_iter([range]).without(&set)), holes);
        }
    }
}
