//! What follows when a window could not be read.

use std::time::Duration;

use tracing::{error, warn};

use crate::engine::failure::{Directive, Failure, PagingError};
use crate::engine::progress::ACCOUNT;
use crate::engine::read::context::ReadContext;
use crate::number::milliseconds;
use crate::plan::Lane;
use crate::store::StoreError;
use crate::store::progress::window::{OpenWindow, WindowFailure};
use crate::transport::retry;

/// Reads of a window whose rows move between its pages that are repeated at once.
const IMMEDIATE_RESTARTS: u32 = 3;

/// What is done about a failure.
#[derive(Debug, PartialEq, Eq)]
enum FailureAction {
    /// The work on the account ends.
    Stop,
    /// The next schedule shows what is left to do.
    Reschedule,
    /// The work on the account ends until the database is back.
    WaitForDatabase,
    /// The failure is recorded, and other windows are read.
    React(Reaction),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reaction {
    /// Whose failure it is.
    subject: Subject,
    /// How long to leave the window alone.
    pause: Duration,
    /// Whether the window is read again from its first page.
    restart: bool,
    /// Whether the rest of the window's pass is given up.
    give_up_pass: bool,
    /// Whether the subject waits for an operator, who has to act.
    suspend: bool,
    message: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Account,
    Stream,
}

/// `failures` is how often the window has failed before, `backoff` the pause after that.
fn react(failure: &Failure, lane: Lane, failures: u32, backoff: Duration) -> FailureAction {
    let failed = Reaction {
        subject: Subject::Stream,
        pause: failure.long_wait().unwrap_or(backoff),
        restart: false,
        give_up_pass: false,
        suspend: false,
        message: "reading a window failed",
    };
    // A suspended account or stream waits for its probe.
    let suspended = Reaction {
        pause: Duration::ZERO,
        suspend: true,
        message: "the stream is suspended",
        ..failed
    };
    FailureAction::React(match failure.directive_in(lane) {
        Directive::Stop | Directive::GiveUpLease => return FailureAction::Stop,
        Directive::Replan => return FailureAction::Reschedule,
        Directive::WaitForDatabase => return FailureAction::WaitForDatabase,
        Directive::Retry | Directive::Throttle => failed,
        Directive::Restart => {
            let moved = matches!(failure, Failure::Paging(PagingError::RowsMoved));
            Reaction {
                pause: if moved && failures < IMMEDIATE_RESTARTS {
                    Duration::ZERO
                } else {
                    failed.pause
                },
                restart: true,
                ..failed
            }
        }
        Directive::GiveUpPass => Reaction {
            pause: Duration::ZERO,
            give_up_pass: true,
            message: "a pass over old windows is given up until it is due again",
            ..failed
        },
        Directive::SuspendStream => suspended,
        Directive::SuspendAccount => Reaction {
            subject: Subject::Account,
            message: "the account is suspended",
            ..suspended
        },
    })
}

/// Does what the failure of a window calls for, in the window's span. Returns whether the window waits for its next
/// try.
pub(super) async fn on_failure(
    context: &ReadContext,
    window: &OpenWindow,
    failure: Failure,
) -> Result<bool, StoreError> {
    let failures = u32::try_from(window.failures).unwrap_or(u32::MAX);
    let backoff = retry::jittered(retry::window_backoff(failures));
    let reaction = match react(&failure, window.planned.lane, failures, backoff) {
        FailureAction::Stop => {
            context.held.stop.cancel();
            return Ok(false);
        }
        FailureAction::Reschedule => return Ok(false),
        FailureAction::WaitForDatabase => {
            return match failure {
                Failure::Store(error) => Err(error),
                _ => Ok(false),
            };
        }
        FailureAction::React(reaction) => reaction,
    };
    let (message, hint) = (failure.to_string(), failure.hint());
    let subject = match reaction.subject {
        Subject::Account => ACCOUNT,
        Subject::Stream => window.stream.as_str(),
    };
    let progress = &context.account.progress;
    let due = progress.record_failure(subject, &message, hint);
    let trouble = WindowFailure {
        error: &message,
        hint,
        pause: reaction.pause,
        restart: reaction.restart,
    };
    let (store, lease) = (&context.store, &context.held.lease);
    if reaction.give_up_pass {
        store.give_up_pass(lease, window, trouble).await?;
    } else {
        store.fail_window(lease, window.id, trouble).await?;
    }
    if reaction.suspend {
        match reaction.subject {
            Subject::Account => store.suspend_account(lease, &message, hint).await?,
            Subject::Stream => {
                let stream = &window.stream;
                store.suspend_stream(lease, stream, &message, hint).await?;
            }
        }
    }
    let waits = !reaction.suspend && !reaction.give_up_pass;
    let Some(times) = due else { return Ok(waits) };
    let retry_ms = milliseconds(reaction.pause);
    if reaction.suspend {
        error!(error = %message, hint, times, retry_ms, "{}", reaction.message);
    } else {
        warn!(error = %message, hint, times, retry_ms, "{}", reaction.message);
    }
    Ok(waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paysync_provider::{PageError, Refusal, RefusalKind};

    const BACKOFF: Duration = Duration::from_secs(7);

    fn refused(kind: RefusalKind, retry_after: Option<Duration>) -> Failure {
        Failure::Refused {
            status: 400,
            refusal: Refusal {
                kind,
                message: String::new(),
            },
            retry_after,
        }
    }

    fn reaction(failure: &Failure, lane: Lane, failures: u32) -> Reaction {
        match react(failure, lane, failures, BACKOFF) {
            FailureAction::React(reaction) => reaction,
            next => panic!("{next:?}"),
        }
    }

    #[test]
    fn a_failure_that_passes_leaves_the_window_for_a_while() {
        let failed = Reaction {
            subject: Subject::Stream,
            pause: BACKOFF,
            restart: false,
            give_up_pass: false,
            suspend: false,
            message: "reading a window failed",
        };
        let away = refused(RefusalKind::Unavailable, None);
        assert_eq!(reaction(&away, Lane::Live, 0), failed);
        assert_eq!(reaction(&away, Lane::Audit, 9), failed);
        // A wait that the provider asks for is kept, however long.
        let an_hour = Duration::from_hours(1);
        let limited = refused(RefusalKind::RateLimited, Some(an_hour));
        assert_eq!(reaction(&limited, Lane::Live, 0).pause, an_hour);
        let limited = refused(RefusalKind::RateLimited, Some(Duration::from_secs(1)));
        assert_eq!(reaction(&limited, Lane::Live, 0).pause, BACKOFF);
    }

    #[test]
    fn a_window_with_wrong_pages_is_read_from_its_first_page() {
        let restart = |failure, failures| {
            let reaction = reaction(&failure, Lane::Backfill, failures);
            assert!(reaction.restart && !reaction.suspend && !reaction.give_up_pass);
            assert_eq!(reaction.subject, Subject::Stream);
            reaction.pause
        };
        let repeated = || Failure::Paging(PagingError::RepeatedCheckpoint);
        let moved = || Failure::Paging(PagingError::RowsMoved);
        assert_eq!(restart(repeated(), 0), BACKOFF);
        assert_eq!(restart(moved(), 0), Duration::ZERO);
        assert_eq!(restart(moved(), 2), Duration::ZERO);
        assert_eq!(restart(moved(), 3), BACKOFF);
        let wrong = StoreError::DoesNotAddUp(String::new());
        assert_eq!(restart(wrong.into(), 0), BACKOFF);
    }

    #[test]
    fn what_an_operator_must_mend_is_suspended_but_where_nothing_depends_on_it() {
        for (failure, subject, message) in [
            (
                refused(RefusalKind::Unauthorized, None),
                Subject::Account,
                "the account is suspended",
            ),
            (
                refused(RefusalKind::Rejected, None),
                Subject::Stream,
                "the stream is suspended",
            ),
        ] {
            let suspended = Reaction {
                subject,
                pause: Duration::ZERO,
                restart: false,
                give_up_pass: false,
                suspend: true,
                message,
            };
            assert_eq!(reaction(&failure, Lane::Live, 5), suspended);
            for lane in [Lane::Rescan, Lane::Backfill] {
                // A refusal of the past says nothing of new rows.
                let is_account = subject == Subject::Account;
                assert_eq!(reaction(&failure, lane, 5).suspend, is_account);
            }
            for lane in [Lane::Repoll, Lane::Audit] {
                let given_up = Reaction {
                    subject: Subject::Stream,
                    pause: Duration::ZERO,
                    restart: false,
                    give_up_pass: true,
                    suspend: false,
                    message: "a pass over old windows is given up until it is due again",
                };
                assert_eq!(reaction(&failure, lane, 5), given_up);
            }
        }
    }

    #[test]
    fn some_failures_are_not_the_windows() {
        let next = |failure: Failure| react(&failure, Lane::Live, 0, BACKOFF);
        assert_eq!(next(Failure::Stopped), FailureAction::Stop);
        assert_eq!(next(StoreError::LeaseLost.into()), FailureAction::Stop);
        assert_eq!(
            next(StoreError::WindowGone.into()),
            FailureAction::Reschedule
        );
        let away = StoreError::Away(sqlx::Error::PoolTimedOut);
        assert_eq!(next(away.into()), FailureAction::WaitForDatabase);
        let page = PageError::Position("elsewhere");
        assert!(matches!(next(page.into()), FailureAction::React(_)));
    }
}
