//! Requests with a few tries each: the account's budget, the wait a provider asks for, the counters.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use tracing::debug;

use crate::engine::failure::{Directive, Failure};
use crate::engine::read::context::ReadContext;
use crate::engine::read::provider_clock;
use crate::number::milliseconds;
use crate::plan::Lane;
use crate::store::StoreError;
use crate::store::progress::window::OpenWindow;
use crate::telemetry;
use crate::transport::{Priority, retry};
use paysync_provider::{Authenticity, PageError, RefusalKind, Request, Response};

/// An answer.
pub(super) struct Fetched {
    pub(super) response: Response,
    /// Whether its signature does not match, which the account tolerates.
    pub(super) signature_mismatch: bool,
    /// When its request was sent, by the database's clock.
    pub(super) requested_at: DateTime<Utc>,
}

/// How the requests for one window are sent.
pub(super) struct RequestContext<'a> {
    context: &'a ReadContext,
    stream: &'a str,
    priority: Priority,
}

impl<'a> RequestContext<'a> {
    pub(super) fn new(context: &'a ReadContext, window: &'a OpenWindow) -> Self {
        Self {
            context,
            stream: &window.stream,
            priority: match window.planned.lane {
                Lane::Live => Priority::Foreground,
                _ => Priority::Background,
            },
        }
    }

    /// Fetches an answer and parses it, with a few tries; each makes its request anew.
    pub(super) async fn fetch<T>(
        &self,
        make: impl Fn() -> Result<Request, PageError>,
        parse: impl Fn(Fetched) -> Result<T, PageError>,
    ) -> Result<T, Failure> {
        let mut delays = retry::request_backoff();
        loop {
            let fetched = self.fetch_once(&make).await;
            let parsed = fetched.and_then(|fetched| Ok(parse(fetched)?));
            match parsed {
                Ok(parsed) => return Ok(parsed),
                Err(failure) => self.retry_or_fail(failure, &mut delays).await?,
            }
        }
    }

    async fn fetch_once(
        &self,
        make: &impl Fn() -> Result<Request, PageError>,
    ) -> Result<Fetched, Failure> {
        let account = &self.context.account;
        let slot = account.client.acquire_slot(self.priority);
        let slot = self.context.unless_stopped(slot).await?;
        let waited = slot.map_err(Failure::Waiting)?;
        counter!(telemetry::THROTTLED_SECONDS, "account" => account.id.clone())
            .absolute(waited.as_secs());
        if self.context.held.is_over() {
            return Err(StoreError::LeaseLost.into());
        }
        let request = make()?;
        let requested_at = self.context.held.lease.now();
        let clock = std::time::Instant::now();
        let now = self.context.clock.now();
        let answer = account.client.send(&*account.provider, request, now).await;
        let status = answer.as_ref().map_or_else(
            |_| "error".to_owned(),
            |answer| answer.response.status.to_string(),
        );
        histogram!(telemetry::REQUEST_SECONDS, "account" => account.id.clone(), "stream" => self.stream.to_owned())
            .record(clock.elapsed());
        counter!(
            telemetry::REQUESTS,
            "account" => account.id.clone(), "stream" => self.stream.to_owned(), "status" => status
        )
        .increment(1);
        let answer = answer?;
        if answer.response.status == 200 {
            provider_clock::record_date(account, answer.date, requested_at);
            return Ok(Fetched {
                response: answer.response,
                signature_mismatch: answer.authenticity == Authenticity::Mismatch,
                requested_at,
            });
        }
        Err(Failure::Refused {
            status: answer.response.status,
            refusal: account.refusal(&answer.response),
            retry_after: answer.retry_after,
        })
    }

    /// Waits before another try, or returns the failure if the tries are used up or no try can help.
    async fn retry_or_fail(
        &self,
        failure: Failure,
        delays: &mut impl Iterator<Item = Duration>,
    ) -> Result<(), Failure> {
        let account = &self.context.account;
        let throttled = match failure.directive() {
            Directive::Retry => Duration::ZERO,
            Directive::Throttle => {
                let Failure::Refused {
                    refusal,
                    retry_after,
                    ..
                } = &failure
                else {
                    return Err(failure);
                };
                let mut wait = retry_after.unwrap_or_default();
                if refusal.kind == RefusalKind::RateLimited {
                    wait = wait.max(account.spec.retry_after_floor);
                }
                account.client.pause(wait);
                if failure.long_wait().is_some() {
                    return Err(failure);
                }
                wait
            }
            _ => return Err(failure),
        };
        let Some(bound) = delays.next() else {
            return Err(failure);
        };
        // The budget itself holds the next try back for the wait that the provider asked for.
        let delay = retry::jittered(bound);
        counter!(telemetry::RETRIES, "account" => account.id.clone(), "stream" => self.stream.to_owned())
            .increment(1);
        debug!(
            error = %failure,
            delay_ms = milliseconds(delay + throttled),
            "request failed, trying again"
        );
        self.context.unless_stopped(tokio::time::sleep(delay)).await
    }
}
