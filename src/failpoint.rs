//! Failpoints: places where a test can abort, delay or stop the process, before and after each write
//! that must be durable.
//!
//! `FAILPOINTS="page.commit.before=3*off->return"` aborts the process when it gets there the fourth time,
//! as a power cut would; `sleep(100)`, `pause` and `panic` are other actions of the crate `fail`. A
//! release, built without the feature `failpoints`, contains none of them.

/// Arms the failpoints that `FAILPOINTS` names, until the returned scenario is dropped.
pub fn arm() -> Option<fail::FailScenario<'static>> {
    fail::has_failpoints().then(fail::FailScenario::setup)
}

/// A failpoint of this name.
pub(crate) fn failpoint(name: &'static str) {
    // Without the feature the macro expands to nothing.
    let _: &str = name;
    fail::fail_point!(name, |_| std::process::abort());
}
