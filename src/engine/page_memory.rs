//! Memory for pages: bounds how many bytes of providers' answers a process holds at once, however many
//! accounts it reads.
//!
//! A window reserves memory for each of its pages from before its request until it is stored. It waits
//! only while it holds none, so that no two windows wait for each other; a next page that would have to
//! wait is requested when the one before it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const KIB: usize = 1 << 10;

/// The estimate before the first page.
const UNKNOWN_BYTES: usize = 4 << 20;

/// The page memory of a process; windows get it in the order of their requests.
#[derive(Debug, Clone)]
pub struct PageMemory {
    kib: u32,
    free: Arc<Semaphore>,
}

/// Memory of one page, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation(Option<OwnedSemaphorePermit>);

impl PageMemory {
    /// A memory of `kib` KiB. A page larger than all of it takes all of it.
    pub fn of_kib(kib: u32) -> Self {
        let kib = kib.max(1);
        let permits = usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            kib,
            free: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Waits for memory for a page of `bytes`.
    pub(crate) async fn reserve(&self, bytes: usize) -> Reservation {
        let kib = self.kib_of(bytes);
        Reservation(self.free.clone().acquire_many_owned(kib).await.ok())
    }

    /// The same without waiting, if there is enough.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let kib = self.kib_of(bytes);
        let permit = self.free.clone().try_acquire_many_owned(kib).ok()?;
        Some(Reservation(Some(permit)))
    }

    fn kib_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(KIB))
            .unwrap_or(u32::MAX)
            .clamp(1, self.kib)
    }

    /// Makes a reservation as large as its page turned out to be. A larger page takes what is free without
    /// waiting: it is in memory already.
    pub(crate) fn resize(&self, reservation: &mut Reservation, bytes: usize) {
        let Some(permit) = &mut reservation.0 else {
            return;
        };
        let held = permit.num_permits();
        let needed = usize::try_from(self.kib_of(bytes)).unwrap_or(held);
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

/// How large the next page of an account will be, by its last pages; 0 before the first.
#[derive(Debug, Default)]
pub(crate) struct PageSizeEstimate {
    live: AtomicUsize,
    others: AtomicUsize,
}

impl PageSizeEstimate {
    /// Expected bytes of the next page of the live lane, or of the others.
    pub(crate) fn expected(&self, live: bool) -> usize {
        match self.of(live).load(Ordering::Relaxed) {
            0 => UNKNOWN_BYTES,
            bytes => bytes,
        }
    }

    /// Updates the estimate. A page smaller than expected counts little, as the last page of a window says
    /// nothing about the first of the next.
    pub(crate) fn record(&self, live: bool, bytes: usize) {
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

    fn free(memory: &PageMemory) -> usize {
        memory.free.available_permits()
    }

    #[tokio::test]
    async fn a_reservation_is_as_large_as_its_page_and_comes_back() {
        let memory = PageMemory::of_kib(1024);
        let mut page = memory.reserve(10_000).await;
        assert_eq!(free(&memory), 1024 - 10);
        memory.resize(&mut page, 100_000);
        assert_eq!(free(&memory), 1024 - 98);
        memory.resize(&mut page, 1);
        assert_eq!(free(&memory), 1023);
        drop(page);
        assert_eq!(free(&memory), 1024);
    }

    #[tokio::test]
    async fn a_page_larger_than_all_takes_all() {
        let memory = PageMemory::of_kib(1024);
        let small = memory.reserve(1).await;
        assert!(memory.try_reserve(9 << 20).is_none());
        let mut large = memory.try_reserve(1).unwrap();
        memory.resize(&mut large, 9 << 20);
        assert_eq!(free(&memory), 0);
        drop((small, large));
        let large = memory.reserve(usize::MAX).await;
        assert_eq!(free(&memory), 0);
        drop(large);
        assert_eq!(free(&memory), 1024);
    }

    #[tokio::test]
    async fn a_waiting_reservation_is_not_overtaken() {
        let memory = PageMemory::of_kib(1024);
        let first = memory.reserve(600 << 10).await;
        let waiting = {
            let memory = memory.clone();
            tokio::spawn(async move { memory.reserve(900 << 10).await })
        };
        tokio::task::yield_now().await;
        assert!(memory.try_reserve(1).is_none());
        drop(first);
        let _large = waiting.await.unwrap();
        assert_eq!(free(&memory), 1024 - 900);
    }

    #[test]
    fn small_pages_are_expected_only_after_many() {
        let estimate = PageSizeEstimate::default();
        estimate.record(false, 8 << 20);
        assert_eq!(
            (estimate.expected(false), estimate.expected(true)),
            (8 << 20, UNKNOWN_BYTES)
        );
        estimate.record(false, 10);
        assert_eq!(estimate.expected(false), 7 << 20);
        (0..100).for_each(|_| estimate.record(false, 10));
        assert!(estimate.expected(false) < 100);
        estimate.record(true, 10);
        assert_eq!(estimate.expected(true), 10);
    }
}
