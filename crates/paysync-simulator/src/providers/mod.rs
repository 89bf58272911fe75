//! The simulated APIs, one folder each.

pub(crate) mod begateway_dwh;
pub(crate) mod begateway_report;
pub(crate) mod convergegate;
pub(crate) mod ecommpay;
pub(crate) mod firekassa;
pub(crate) mod json;
mod paging;
pub(crate) mod protocol;
pub(crate) mod row_cache;
