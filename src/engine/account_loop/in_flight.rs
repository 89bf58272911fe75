//! The open windows of an account that this process reads now.

use std::collections::BTreeSet;

/// Which open windows are read now, each in a task. A window whose pages are all fetched requests nothing more:
/// while its last page is stored, another window takes its place. At most one window may be in this state, so
/// that fetching cannot outrun a slow database.
#[derive(Debug, Default)]
pub(crate) struct InFlightWindows {
    fetching: BTreeSet<i64>,
    fetched: Option<i64>,
}

impl InFlightWindows {
    pub(crate) fn start(&mut self, window: i64) {
        self.fetching.insert(window);
    }

    /// All pages of the window are fetched; its place is free unless another window's is already.
    pub(crate) fn fetched(&mut self, window: i64) {
        // The window may have finished already.
        if self.fetched.is_none() && self.fetching.remove(&window) {
            self.fetched = Some(window);
        }
    }

    pub(crate) fn finish(&mut self, window: i64) {
        self.fetching.remove(&window);
        self.fetched.take_if(|fetched| *fetched == window);
    }

    pub(crate) fn contains(&self, window: i64) -> bool {
        self.fetching.contains(&window) || self.is_fetched(window)
    }

    pub(crate) fn is_fetched(&self, window: i64) -> bool {
        self.fetched == Some(window)
    }

    /// How many windows have pages to fetch.
    pub(crate) fn fetching(&self) -> usize {
        self.fetching.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fetching.is_empty() && self.fetched.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_one_fetched_window_is_free() {
        let mut in_flight = InFlightWindows::default();
        in_flight.start(1);
        in_flight.start(2);
        in_flight.fetched(1);
        assert!(in_flight.contains(1) && in_flight.is_fetched(1));
        assert_eq!(in_flight.fetching(), 1);
        in_flight.fetched(2);
        assert_eq!(in_flight.fetching(), 1, "one at a time");
        in_flight.finish(1);
        // Too late: the window has finished.
        in_flight.fetched(1);
        assert!(!in_flight.contains(1) && !in_flight.is_fetched(1));
        in_flight.finish(2);
        assert!(in_flight.is_empty());
    }
}
