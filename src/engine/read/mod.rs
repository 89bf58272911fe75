//! The reading of one window: requests, pages, paging, and what is recorded of it.

pub(super) mod audit;
pub(super) mod observer;
mod page;
pub(super) mod paging;
pub(super) mod provider_clock;
pub(super) mod repoll;
pub(super) mod request;
pub(super) mod window;
