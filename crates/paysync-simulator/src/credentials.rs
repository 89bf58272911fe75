//! The credentials that the simulated APIs accept.
//!
//! Each user and token has twins: `<it>-1`, `<it>-2` and so on see the same rows but count
//! as credentials of their own, for tests with many accounts. Secrets have no twins.

/// ConvergeGate's bearer token.
pub const CONVERGEGATE_TOKEN: &str = "simulator-token";
/// The DWH's user.
pub const DWH_PSP_ID: &str = "simulator";
/// The DWH's password.
pub const DWH_SECRET_KEY: &str = "simulator-secret";
/// The report's user: the shop.
pub const REPORT_SHOP_ID: &str = "363";
/// The report's password.
pub const REPORT_SECRET_KEY: &str = "secret_key";
/// ECommPay's token.
pub const ECOMMPAY_TOKEN: &str = "simulator-token-ecommpay-0000000";
/// The key of ECommPay's signatures.
pub const ECOMMPAY_SECRET: &str = "simulator-secret";
/// FireKassa's bearer token; a sign token is a setting of the simulator.
pub const FIREKASSA_TOKEN: &str = "simulator-token";
