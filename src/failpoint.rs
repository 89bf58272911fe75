//! Places where a test may let the process die, hang or stumble: one before and one after whatever
//! must be durable.
//!
//! `FAILPOINTS="page.commit.before=3*off->return"` ends the process the fourth time it comes by, as
//! a power cut would; `sleep(100)`, `pause` and `panic` are the other actions of the crate `fail`.
//! Without the feature `failpoints`, which only tests switch on, nothing of this is in the program.

/// Reads `FAILPOINTS`; what it gives back keeps the places armed.
pub fn arm() -> Option<fail::FailScenario<'static>> {
    fail::has_failpoints().then(fail::FailScenario::setup)
}

/// A place of this name.
pub(crate) fn failpoint(name: &'static str) {
    // All that is left of it without the feature.
    let _: &str = name;
    fail::fail_point!(name, |_| std::process::abort());
}
