//! The windows of an account that are in hand.

use std::collections::BTreeSet;

/// Which windows are being read. One whose pages are all fetched asks the provider for nothing more:
/// while its last page is stored, its place is another's. That goes for one window at a time, as what is
/// fetched must not run ahead of a database that is slow.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    fetching: BTreeSet<i64>,
    fetched: Option<i64>,
}

impl Hand {
    pub(crate) fn take(&mut self, window: i64) {
        self.fetching.insert(window);
    }

    /// All pages of the window are fetched; its place is free if no other such window is in hand.
    pub(crate) fn all_fetched(&mut self, window: i64) {
        // It may have been put down already.
        if self.fetched.is_none() && self.fetching.remove(&window) {
            self.fetched = Some(window);
        }
    }

    pub(crate) fn put_down(&mut self, window: i64) {
        self.fetching.remove(&window);
        self.fetched.take_if(|fetched| *fetched == window);
    }

    pub(crate) fn holds(&self, window: i64) -> bool {
        self.fetching.contains(&window) || self.has_fetched_all(window)
    }

    pub(crate) fn has_fetched_all(&self, window: i64) -> bool {
        self.fetched == Some(window)
    }

    /// How many windows have pages to be fetched.
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
    fn a_place_is_free_when_all_is_fetched() {
        let mut hand = Hand::default();
        hand.take(1);
        hand.take(2);
        hand.all_fetched(1);
        assert!(hand.holds(1) && hand.has_fetched_all(1));
        assert_eq!(hand.fetching(), 1);
        hand.all_fetched(2);
        assert_eq!(hand.fetching(), 1, "one at a time");
        hand.put_down(1);
        // What is told too late is nothing new.
        hand.all_fetched(1);
        assert!(!hand.holds(1) && !hand.has_fetched_all(1));
        hand.put_down(2);
        assert!(hand.is_empty());
    }
}
