//! The credentials that the simulated APIs accept.
//!
//! Each user and token has numbered variants, `<name>-1`, `<name>-2` and so on, for tests with many
//! accounts: they list the same rows but count as credentials of their own. Secrets have no variants.

pub const CONVERGEGATE_TOKEN: &str = "simulator-token";
pub const DWH_PSP_ID: &str = "simulator";
pub const DWH_SECRET_KEY: &str = "simulator-secret";
pub const REPORT_SHOP_ID: &str = "363";
pub const REPORT_SECRET_KEY: &str = "secret_key";
pub const ECOMMPAY_TOKEN: &str = "simulator-token-ecommpay-0000000";
/// The key of signatures.
pub const ECOMMPAY_SECRET: &str = "simulator-secret";
/// The bearer token; the sign token is a setting.
pub const FIREKASSA_TOKEN: &str = "simulator-token";
