//! Room for pages: how much of the providers' answers the process has in work at once, however many
//! accounts are read.
//!
//! A window holds room for each of its pages from before it is asked for until it is stored. It waits
//! only while it holds none, so that nobody waits for somebody who waits; a next page that would have
//! to wait is asked for when the one before it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room is given in pieces of so many bytes.
const PIECE: usize = 1 << 10;

/// What is kept for a page while nothing is known of its like.
const UNKNOWN_BYTES: usize = 4 << 20;

/// The room of a process, given to windows in the order in which they ask.
#[derive(Debug, Clone)]
pub struct Rooms {
    pieces: u32,
    free: Arc<Semaphore>,
}

/// Room for one page, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Rooms {
    /// So many KiB of room. A page larger than all of it takes all of it.
    pub fn of_kib(kib: u32) -> Self {
        let pieces = kib.max(1);
        let places = usize::try_from(pieces).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            pieces,
            free: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Waits for room for a page of so many bytes.
    pub(crate) async fn wait(&self, bytes: usize) -> Room {
        let pieces = self.pieces_of(bytes);
        Room(self.free.clone().acquire_many_owned(pieces).await.ok())
    }

    /// The same if nobody has to wait for it.
    pub(crate) fn at_once(&self, bytes: usize) -> Option<Room> {
        let pieces = self.pieces_of(bytes);
        let permit = self.free.clone().try_acquire_many_owned(pieces).ok()?;
        Some(Room(Some(permit)))
    }

    fn pieces_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(PIECE))
            .unwrap_or(u32::MAX)
            .clamp(1, self.pieces)
    }

    /// Makes room as large as its page has turned out to be. One that is larger takes what is free, and
    /// does not wait: it is there already.
    pub(crate) fn fit(&self, room: &mut Room, bytes: usize) {
        let Some(permit) = &mut room.0 else { return };
        let held = permit.num_permits();
        let needed = usize::try_from(self.pieces_of(bytes)).unwrap_or(held);
        if needed <= held {
            drop(permit.split(held - needed));
            return;
        }
        let more = (needed - held).min(self.free.available_permits());
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Ok(more) = self.free.clone().try_acquire_many_owned(more) {
            permit.merge(more);
        }
    }
}

/// How large the pages of an account are of late; 0 while nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    live: AtomicUsize,
    others: AtomicUsize,
}

impl Sizes {
    /// Bytes that the next page of the live lane, or of the others, is expected to have.
    pub(crate) fn expected(&self, live: bool) -> usize {
        match self.of(live).load(Ordering::Relaxed) {
            0 => UNKNOWN_BYTES,
            bytes => bytes,
        }
    }

    /// Takes note of a page: one that is smaller than expected counts little, as the last page of a
    /// window says nothing about the first of the next.
    pub(crate) fn note(&self, live: bool, bytes: usize) {
        let size = self.of(live);
        let before = size.load(Ordering::Relaxed);
        size.store(bytes.max(before - before / 8), Ordering::Relaxed);
    }

    fn of(&self, live: bool) -> &AtomicUsize {
        if live { &self.live } else { &self.others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(rooms: &Rooms) -> usize {
        rooms.free.available_permits()
    }

    #[tokio::test]
    async fn room_is_as_large_as_its_page_and_comes_back() {
        let rooms = Rooms::of_kib(1024);
        let mut room = rooms.wait(10_000).await;
        assert_eq!(free(&rooms), 1024 - 10);
        rooms.fit(&mut room, 100_000);
        assert_eq!(free(&rooms), 1024 - 98);
        rooms.fit(&mut room, 1);
        assert_eq!(free(&rooms), 1023);
        drop(room);
        assert_eq!(free(&rooms), 1024);
    }

    #[tokio::test]
    async fn a_page_larger_than_all_takes_all() {
        let rooms = Rooms::of_kib(1024);
        let small = rooms.wait(1).await;
        assert!(rooms.at_once(9 << 20).is_none());
        let mut large = rooms.at_once(1).unwrap();
        rooms.fit(&mut large, 9 << 20);
        assert_eq!(free(&rooms), 0);
        drop((small, large));
        let large = rooms.wait(usize::MAX).await;
        assert_eq!(free(&rooms), 0);
        drop(large);
        assert_eq!(free(&rooms), 1024);
    }

    #[tokio::test]
    async fn who_waits_is_not_overtaken() {
        let rooms = Rooms::of_kib(1024);
        let first = rooms.wait(600 << 10).await;
        let waiting = {
            let rooms = rooms.clone();
            tokio::spawn(async move { rooms.wait(900 << 10).await })
        };
        tokio::task::yield_now().await;
        assert!(rooms.at_once(1).is_none());
        drop(first);
        let _large = waiting.await.unwrap();
        assert_eq!(free(&rooms), 1024 - 900);
    }

    #[test]
    fn small_pages_are_expected_only_after_many() {
        let sizes = Sizes::default();
        sizes.note(false, 8 << 20);
        assert_eq!(
            (sizes.expected(false), sizes.expected(true)),
            (8 << 20, UNKNOWN_BYTES)
        );
        sizes.note(false, 10);
        assert_eq!(sizes.expected(false), 7 << 20);
        (0..100).for_each(|_| sizes.note(false, 10));
        assert!(sizes.expected(false) < 100);
        sizes.note(true, 10);
        assert_eq!(sizes.expected(true), 10);
    }
}
