//! Reads one window: by its pages, by the ids of its rows, or by counting them.

pub(super) mod audit;
pub(super) mod context;
pub(super) mod observer;
mod page;
mod paging;
pub(super) mod provider_clock;
pub(super) mod repoll;
mod request;
pub(super) mod window;
