//! What each failure means: one table of directives, and a hint for the operator.

use std::time::Duration;

use thiserror::Error;

use crate::plan::Lane;
use crate::store::StoreError;
use crate::transport::{MAX_WAIT_IN_READ, TransportError};
use paysync_provider::wire::one_line;
use paysync_provider::{PageError, Refusal, RefusalKind};

const RATE_LIMITED: &str = "lower the account's requests_per_minute; retried after the wait";

/// What kept a window from being read.
#[derive(Debug, Error)]
pub enum Failure {
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// An answer with another status than 200.
    #[error("status {status}: {}", refusal.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it means, by the provider's code.
        refusal: Refusal,
        /// The wait it asks for.
        retry_after: Option<Duration>,
    },
    /// A long wait that the provider asked for is not over.
    #[error("the provider asked to wait, {} s are left", .0.as_secs())]
    Waiting(Duration),
    /// An answer with status 200 that cannot be parsed.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Pages that contradict each other.
    #[error(transparent)]
    Paging(#[from] PagingError),
    /// Every row that shows its time lies outside the window asked for.
    #[error("all {0} rows of the first page that show their time lie outside the window asked for")]
    FilterIgnored(u64),
    /// An answer holds rows whose ids were not requested.
    #[error("the answer holds {0} rows that were not asked for")]
    OtherRows(usize),
    /// The database.
    #[error("{}", store_message(.0))]
    Store(#[from] StoreError),
    /// The process was asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Pages that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PagingError {
    /// The same cursor again: going on would be a loop.
    #[error("the provider's cursor repeats; more rows may share one time than a page holds")]
    RepeatedCheckpoint,
    /// More is promised and nothing given.
    #[error("the page is empty and yet promises more")]
    EmptyPageWithMore,
    /// Rows change places between pages, and no scan has seen them all.
    #[error("rows moved between two pages")]
    RowsMoved,
}

/// What is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// Retry within the run; then leave the window and retry later, without limit.
    Retry,
    /// Hold the account's requests back for the wait that the provider asks for, then as `Retry`.
    Throttle,
    /// Leave the window and read it later from its first page.
    Restart,
    /// The account waits for an operator; probe it slowly.
    SuspendAccount,
    /// The stream waits for an operator; probe it slowly.
    SuspendStream,
    /// Stop reading until the database is back.
    WaitForDatabase,
    /// Give up the rest of the pass until it is due again.
    GiveUpPass,
    /// Stop quietly: another process has the lease.
    GiveUpLease,
    /// Plan again: the window is no longer open.
    Replan,
    /// Stop.
    Stop,
}

impl Failure {
    /// What is done about it in a lane. Coverage does not depend on repoll and audit: a provider that refuses
    /// them suspends neither the account nor the stream.
    pub(crate) fn directive_in(&self, lane: Lane) -> Directive {
        match (lane, self.directive()) {
            (Lane::Repoll | Lane::Audit, Directive::SuspendAccount | Directive::SuspendStream) => {
                Directive::GiveUpPass
            }
            // A refusal of the past says nothing of new rows.
            (Lane::Backfill | Lane::Rescan, Directive::SuspendStream) => Directive::Retry,
            (_, directive) => directive,
        }
    }

    /// What is done about it.
    pub fn directive(&self) -> Directive {
        match self {
            Self::Transport(error) => match error {
                TransportError::Connect { .. }
                | TransportError::UnknownAuthority { .. }
                | TransportError::Timeout { .. }
                | TransportError::Broken { .. }
                | TransportError::Encoding { .. }
                | TransportError::TooLarge { .. } => Directive::Retry,
                TransportError::Unsendable(_) | TransportError::Unverified(_) => {
                    Directive::SuspendAccount
                }
            },
            Self::Refused {
                refusal,
                retry_after,
                ..
            } => match refusal.kind {
                RefusalKind::Unavailable if retry_after.is_some() => Directive::Throttle,
                RefusalKind::Unavailable => Directive::Retry,
                RefusalKind::RateLimited => Directive::Throttle,
                RefusalKind::Unauthorized | RefusalKind::Blocked | RefusalKind::Redirected => {
                    Directive::SuspendAccount
                }
                RefusalKind::Rejected => Directive::SuspendStream,
            },
            Self::Waiting(_) => Directive::Throttle,
            Self::Page(error) => match error {
                PageError::NotJson { .. }
                | PageError::Html
                | PageError::Missing(_)
                | PageError::Refused { .. }
                | PageError::TooMany(_) => Directive::Retry,
                // Cursors before this one may have been wrong as well.
                PageError::Cursor(_) => Directive::Restart,
                PageError::Signature => Directive::SuspendAccount,
                PageError::Position(_) => Directive::SuspendStream,
            },
            Self::Paging(error) => match error {
                PagingError::RepeatedCheckpoint
                | PagingError::EmptyPageWithMore
                | PagingError::RowsMoved => Directive::Restart,
            },
            Self::FilterIgnored(_) | Self::OtherRows(_) => Directive::SuspendStream,
            Self::Store(error) => match error {
                StoreError::LeaseLost => Directive::GiveUpLease,
                StoreError::WindowGone => Directive::Replan,
                StoreError::Away(_) => Directive::WaitForDatabase,
                StoreError::Conflict(_) => Directive::Retry,
                StoreError::DoesNotAddUp(_)
                | StoreError::Database(_)
                | StoreError::SharedSessions
                | StoreError::DevelopmentBuild
                | StoreError::Migrate(_) => Directive::Restart,
            },
            Self::Stopped => Directive::Stop,
        }
    }

    /// The wait that the provider asks for, if it is longer than a read waits: the window is left until it is
    /// over.
    pub(crate) fn long_wait(&self) -> Option<Duration> {
        let wait = match self {
            Self::Refused { retry_after, .. } => (*retry_after)?,
            Self::Waiting(left) => *left,
            _ => return None,
        };
        (wait > MAX_WAIT_IN_READ).then_some(wait)
    }

    /// What an operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Transport(error) => match error {
                TransportError::UnknownAuthority { .. } => {
                    "check base_url, DNS, TLS; if the provider has a certificate of its own authority, name that in the \
                     account's ca_file; retried until it succeeds"
                }
                TransportError::Connect { .. } => {
                    "check base_url, DNS, TLS and the way out to the provider; retried until it succeeds"
                }
                TransportError::Timeout { .. } => {
                    "raise the account's timeout if the provider answers late; retried until it succeeds"
                }
                TransportError::Broken { .. } => {
                    "the provider or a proxy broke the connection; retried until it succeeds"
                }
                TransportError::Encoding { .. } => {
                    "report it to the provider or the operator of the proxy; retried until it succeeds"
                }
                TransportError::TooLarge { .. } => "lower the account's page_size",
                TransportError::Unsendable(_) => {
                    "check the account's credentials for stray characters"
                }
                TransportError::Unverified(_) => {
                    "check the secret; if it is right, the provider signs in another order: set verify_signature"
                }
            },
            Self::Refused {
                status, refusal, ..
            } => match refusal.kind {
                RefusalKind::Unavailable => {
                    "the provider is unavailable; retried until it succeeds"
                }
                RefusalKind::RateLimited => RATE_LIMITED,
                RefusalKind::Unauthorized => {
                    "check the account's credentials and their rights at the provider; probed every 15 min"
                }
                RefusalKind::Blocked => {
                    "a proxy in front of the provider blocks this address or client: ask the provider to allow it"
                }
                RefusalKind::Redirected => {
                    "set base_url to the final address: this one answers with a redirect"
                }
                RefusalKind::Rejected if *status == 404 => {
                    "check base_url: there is no such API below it"
                }
                RefusalKind::Rejected => {
                    "check the account's options, time_zone and base_url against the provider's message"
                }
            },
            Self::Waiting(_) => RATE_LIMITED,
            Self::Page(error) => match error {
                PageError::Html => {
                    "check base_url: it leads to a web page, or a proxy answers in the provider's place"
                }
                PageError::NotJson { .. } => {
                    "the answer was cut short or is not the API's; retried until it succeeds"
                }
                PageError::Missing(_) => "check that base_url is the API of this provider",
                PageError::Refused { .. } => {
                    "the provider refuses with status 200: check the credentials and options against its message"
                }
                PageError::TooMany(_) => {
                    "the provider sends far more than was asked for; check that base_url is the API of this provider"
                }
                PageError::Cursor(_) => {
                    "report it to the provider: its paging is broken for this window; retried until it succeeds"
                }
                PageError::Signature => "check the secret",
                PageError::Position(_) => "a defect of paysync: please report it",
            },
            Self::Paging(error) => match error {
                PagingError::RepeatedCheckpoint => {
                    "raise page_size: more rows may share one time than a page holds"
                }
                PagingError::EmptyPageWithMore => {
                    "report it to the provider: its paging is broken for this window; retried until it succeeds"
                }
                PagingError::RowsMoved => "rows are changing fast; the window is read again",
            },
            Self::FilterIgnored(_) => {
                "the provider ignores the time filter: check the account's options that name it, and time_zone"
            }
            Self::OtherRows(_) => {
                "the provider ignores the filter by id: set repoll = [] for the account"
            }
            Self::Store(error) => error.hint(),
            Self::Stopped => "start paysync again",
        }
    }
}

/// A database error with its cause, which the outer error leaves out.
fn store_message(error: &StoreError) -> String {
    match error.cause() {
        Some(cause) => format!("{error}: {}", one_line(&cause.to_string())),
        None => error.to_string(),
    }
}
