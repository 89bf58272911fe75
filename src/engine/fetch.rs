//! Requests, one try after another: the account's budget, the wait a provider asks for, the counters.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use tracing::debug;

use super::policy::{Directive, Failure};
use super::window::Reader;
use crate::plan::Lane;
use crate::store::StoreError;
use crate::telemetry;
use crate::transport::{Priority, retry};
use paysync_provider::{Authenticity, PageError, Request, Response};

/// An answer with when it was asked for.
pub(super) struct Fetched {
    pub(super) response: Response,
    /// Whether its signature does not match, which the account tolerates.
    pub(super) doubtful: bool,
    /// By the database's clock.
    pub(super) requested_at: DateTime<Utc>,
}

/// What one stream asks its provider.
pub(super) struct Asking<'a> {
    reader: &'a Reader,
    stream: &'a str,
    priority: Priority,
}

impl Reader {
    pub(super) fn asking<'a>(&'a self, stream: &'a str, lane: Lane) -> Asking<'a> {
        Asking {
            reader: self,
            stream,
            priority: match lane {
                Lane::Live => Priority::Foreground,
                _ => Priority::Background,
            },
        }
    }
}

impl Asking<'_> {
    /// Fetches an answer, with a few tries; each makes its request anew.
    pub(super) async fn fetch(
        &self,
        make: impl Fn() -> Result<Request, PageError>,
        delays: &mut impl Iterator<Item = Duration>,
    ) -> Result<Fetched, Failure> {
        loop {
            match self.fetch_once(&make).await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => self.retry_or_fail(failure, delays).await?,
            }
        }
    }

    /// Fetches an answer and reads it; one that cannot be read is asked for again.
    pub(super) async fn fetch_and_read<T>(
        &self,
        make: impl Fn() -> Result<Request, PageError>,
        read: impl Fn(&Response) -> Result<T, PageError>,
    ) -> Result<(Fetched, T), Failure> {
        let mut delays = retry::within_run();
        loop {
            let fetched = self.fetch(&make, &mut delays).await?;
            match read(&fetched.response) {
                Ok(read) => return Ok((fetched, read)),
                Err(error) => self.retry_or_fail(error.into(), &mut delays).await?,
            }
        }
    }

    async fn fetch_once(
        &self,
        make: &impl Fn() -> Result<Request, PageError>,
    ) -> Result<Fetched, Failure> {
        let account = &self.reader.account;
        let waited = self
            .unless_stopped(account.client.acquire_slot(self.priority))
            .await?
            .map_err(|left| Failure::Waiting { left })?;
        counter!(telemetry::THROTTLED_SECONDS, "account" => account.id.clone())
            .absolute(waited.as_secs());
        if self.reader.kept.is_over() {
            return Err(StoreError::LeaseLost.into());
        }
        let request = make()?;
        let requested_at = self.reader.lease.now();
        let clock = std::time::Instant::now();
        let answer = account
            .client
            .send(&*account.provider, request, self.reader.clock.now())
            .await;
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
            self.reader.note_date(answer.date, requested_at);
            return Ok(Fetched {
                response: answer.response,
                doubtful: answer.authenticity == Authenticity::Doubtful,
                requested_at,
            });
        }
        let refusal = account.refusal(&answer.response);
        Err(Failure::Refused {
            status: answer.response.status,
            refusal,
            retry_after: answer.retry_after,
        })
    }

    /// Waits before another try, or gives the failure back when the tries are used up or no try can
    /// help.
    pub(super) async fn retry_or_fail(
        &self,
        failure: Failure,
        delays: &mut impl Iterator<Item = Duration>,
    ) -> Result<(), Failure> {
        let throttled = match failure.directive() {
            Directive::Retry => None,
            Directive::Throttle => {
                let Failure::Refused { retry_after, .. } = &failure else {
                    return Err(failure);
                };
                let floor = self.reader.account.spec.retry_after_floor;
                let wait = retry_after.map_or(floor, |wait| wait.max(floor));
                self.reader.account.client.pause(wait);
                if failure.long_wait().is_some() {
                    return Err(failure);
                }
                Some(wait)
            }
            _ => return Err(failure),
        };
        let Some(bound) = delays.next() else {
            return Err(failure);
        };
        // The budget itself holds the next try back for the wait that the provider asked for.
        let delay = retry::jittered(bound);
        counter!(telemetry::RETRIES, "account" => self.reader.account.id.clone(), "stream" => self.stream.to_owned())
            .increment(1);
        debug!(
            account.id = %self.reader.account.id, stream.name = self.stream, error = %failure,
            delay_ms = u64::try_from((delay + throttled.unwrap_or_default()).as_millis()).unwrap_or(u64::MAX),
            "request failed, trying again"
        );
        self.unless_stopped(tokio::time::sleep(delay)).await
    }

    async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        self.reader
            .stop
            .run_until_cancelled(future)
            .await
            .ok_or(Failure::Stopped)
    }
}
