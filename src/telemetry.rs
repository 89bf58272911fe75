//! Logs and metrics: how they are set up and what they are called.
//!
//! Logs go to stderr, as text for people or as one JSON object a line for machines. Metrics are
//! recorded through the `metrics` crate under the names below; `http` serves them. Dashboards and
//! alerts rely on the names and labels.

use std::fmt;
use std::io::{self, IsTerminal};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use serde_json::{Map, Value};
use thiserror::Error;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{
    FmtContext, FormatEvent, FormatFields as _, FormattedFields, MakeWriter,
};
use tracing_subscriber::registry::LookupSpan;

/// Declares each metric once: kind, constant, name, unit and description.
macro_rules! metrics {
    ($($(#[$doc:meta])* $describe:ident $metric:ident = $name:literal, $unit:ident, $text:literal;)*) => {
        $($(#[$doc])* pub const $metric: &str = $name;)*

        /// Describes each metric to the installed recorder.
        fn describe() {
            $($describe!($metric, Unit::$unit, $text);)*
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$($name),*];
    };
}

metrics! {
    /// Pages stored. Labels: `account`, `stream`, `lane`.
    describe_counter PAGES = "paysync_pages_total", Count, "Pages stored";
    /// Items of stored pages. Labels: `account`, `stream`, `outcome` (`inserted`, `updated`, `unchanged`,
    /// `stale`, `duplicate`, `quarantined`).
    describe_counter ITEMS = "paysync_items_total", Count, "Items of stored pages, by outcome";
    /// Requests answered or failed. Labels: `account`, `stream`, `status` (the HTTP status, or `error`).
    describe_counter REQUESTS = "paysync_requests_total", Count, "Requests to providers, by status";
    /// Time from sending a request to its whole answer. Labels: `account`, `stream`.
    describe_histogram REQUEST_SECONDS = "paysync_request_seconds", Seconds,
        "Time from sending a request to its whole answer";
    /// Time a page's database transaction takes. Labels: `account`, `stream`.
    describe_histogram COMMIT_SECONDS = "paysync_commit_seconds", Seconds, "Time a page's database transaction takes";
    /// Age of the newest instant that is covered. Labels: `account`, `stream`.
    describe_gauge LAG_SECONDS = "paysync_lag_seconds", Seconds, "Age of the newest instant that is covered";
    /// How large the lag may rightly be: the provider's own, a poll interval, and a unit of the time
    /// filter. Labels: `account`, `stream`.
    describe_gauge EXPECTED_LAG_SECONDS = "paysync_expected_lag_seconds", Seconds, "Largest lag that is normal";
    /// Open windows: begun, and not read to their end. Labels: `account`, `stream`.
    describe_gauge OPEN_WINDOWS = "paysync_open_windows", Count, "Windows being read";
    /// Time wanted and not covered. Labels: `account`, `stream`.
    describe_gauge GAP_SECONDS = "paysync_gap_seconds", Seconds, "Time wanted and not covered";
    /// Time spent waiting for the rate limit or because of a 429. Label: `account`.
    describe_counter THROTTLED_SECONDS = "paysync_throttled_seconds_total", Seconds,
        "Time spent waiting for the rate limit or because of a 429";
    /// Requests sent again within a run. Labels: `account`, `stream`.
    describe_counter RETRIES = "paysync_retries_total", Count, "Requests sent again within a run";
    /// Redactions in the items of stored pages, each time they are read. Labels: `account`, `what`
    /// (`card`: a card number cut; `key`: a member that is always dropped; `mask`, `hash`, `drop`: by a rule
    /// of the configuration).
    describe_counter REDACTIONS = "paysync_redactions_total", Count, "Redactions in the items of stored pages";
    /// Items in quarantine. Labels: `account`, `stream`.
    describe_gauge QUARANTINED_ITEMS = "paysync_quarantined_items", Count, "Items in quarantine";
    /// 1 if the account or stream is suspended, else 0. Labels: `account`, `stream`.
    describe_gauge SUSPENDED = "paysync_suspended", Count, "1 if it waits for an operator, else 0";
    describe_gauge PROCESS_RESIDENT_BYTES = "paysync_process_resident_memory_bytes", Bytes,
        "Memory of the process that is in RAM";
    describe_counter PROCESS_CPU_SECONDS = "paysync_process_cpu_seconds_total", Seconds,
        "CPU time of the process, whole seconds";
    describe_gauge LEASES = "paysync_leases", Count, "Accounts this process holds the lease of";
}

/// The target of the spans that say which account and which window a line is about. They are spans of the
/// level `ERROR`, and no filter disables them: a line that a filter shows has all its fields.
pub(crate) const SPANS: &str = "paysync::span";

/// Installs the metrics recorder of the process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let buckets = [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    ];
    let recorder = PrometheusBuilder::new().set_buckets(&buckets)?;
    let handle = recorder.install_recorder()?;
    describe();
    Ok(handle)
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, fields at its top, times in UTC (RFC 3339).
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// Logging could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("not a log filter, write it like \"info\" or \"info,paysync=debug\"")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// A logger is there already.
    #[error("logging is already set up")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Starts logging to stderr. Without a format: text on a terminal, JSON otherwise.
pub fn init(format: Option<LogFormat>, filter: &str) -> Result<(), TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let format = match format {
        Some(format) => format,
        None if terminal => LogFormat::Text,
        None => LogFormat::Json,
    };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(format, read_filter(filter)?, colour, io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(TelemetryError::Twice)
}

/// Whether `filter` can be read.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    read_filter(filter).map(|_| ())
}

fn read_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    // PostgreSQL's notices about existing objects are noise; the user of a connection that was cut logs it.
    EnvFilter::builder()
        .parse(format!(
            "{SPANS}=error,sqlx::postgres::notice=error,sqlx_core::pool=error,{filter}"
        ))
        .map_err(TelemetryError::Filter)
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colour: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        LogFormat::Json => Box::new(builder.json().event_format(JsonLine).finish()),
        LogFormat::Text => Box::new(builder.with_ansi(colour).finish()),
    }
}

/// A line of JSON with the fields of the event and of the spans around it at its top, each once: the format
/// of `tracing-subscriber` nests those of spans.
struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        let fields = parse_fields(&fields)?;
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), timestamp.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        if let Some(message) = fields.get("message") {
            line.insert("message".to_owned(), message.clone());
        }
        line.extend(fields);
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                for (key, value) in parse_fields(fields)? {
                    line.entry(key).or_insert(value);
                }
            }
        }
        line.insert("target".to_owned(), metadata.target().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The fields of an event or a span, which [`JsonFields`] has written.
fn parse_fields(text: &str) -> Result<Map<String, Value>, fmt::Error> {
    serde_json::from_str(text).map_err(|_| fmt::Error)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: LogFormat, colour: bool, filter: &str, events: fn()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = read_filter(filter).unwrap();
        let subscriber = subscriber(format, filter, colour, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    fn logged(format: LogFormat, colour: bool) -> String {
        log(format, colour, "info,paysync=debug", || {
            tracing::debug!(account.id = "acme", records.inserted = 3, "page stored");
            tracing::trace!("not shown");
        })
    }

    fn in_spans() {
        let account =
            tracing::error_span!(target: SPANS, "account", account.id = "acme", lane = "?");
        let _account = account.enter();
        let window = tracing::error_span!(target: SPANS, "window", lane = "live", window.id = 7);
        let _window = window.enter();
        tracing::warn!(window.id = 8, error = %"a \"quote\"", "window failed");
    }

    #[test]
    fn json_lines_are_flat_and_in_utc() {
        let text = logged(LogFormat::Json, true);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "DEBUG");
        assert_eq!(line["message"], "page stored");
        assert_eq!(line["account.id"], "acme");
        assert_eq!(line["records.inserted"], 3);
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z'), "{time}");
        chrono::DateTime::parse_from_rfc3339(time).unwrap();
    }

    #[test]
    fn fields_of_spans_are_at_the_top_of_a_json_line_once() {
        for filter in ["info", "warn", "paysync::telemetry=warn"] {
            let text = log(LogFormat::Json, false, filter, in_spans);
            let (_, line) = text.split_once(r#","level""#).unwrap();
            assert_eq!(
                line,
                concat!(
                    r#":"WARN","message":"window failed","error":"a \"quote\"","window.id":8,"#,
                    r#""lane":"live","account.id":"acme","target":"paysync::telemetry::tests"}"#,
                    "\n"
                )
            );
        }
        assert_eq!(log(LogFormat::Json, false, "off", in_spans), "");
    }

    #[test]
    fn fields_of_spans_are_in_a_line_of_text() {
        let text = log(LogFormat::Text, false, "warn", in_spans);
        assert!(text.contains("account.id=\"acme\"") && text.contains("window.id=8"));
    }

    #[test]
    fn text_has_colour_only_where_asked() {
        assert!(logged(LogFormat::Text, true).contains('\u{1b}'));
        let plain = logged(LogFormat::Text, false);
        assert!(!plain.contains('\u{1b}'));
        assert!(plain.contains("page stored") && plain.contains("acme"));
        assert_eq!(plain.lines().count(), 1);
    }

    #[test]
    fn filters_are_checked() {
        assert!(check_filter("info,paysync::engine=trace").is_ok());
        let error = check_filter("paysync=loudly").unwrap_err();
        assert!(error.to_string().contains("info,paysync=debug"));
    }

    #[test]
    fn names_are_unique_and_ours() {
        let mut names = NAMES.to_vec();
        assert!(names.iter().all(|name| name.starts_with("paysync_")));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 17);
        describe();
    }
}
