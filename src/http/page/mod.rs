//! The status page: the data of `/status.json` as HTML without scripts.

mod chart;
mod coverage;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use paysync_provider::model::format::{duration, grouped};

use crate::engine::inspect::status::{AccountStatus, State, Status, StreamStatus};

const STYLE: &str = include_str!("style.css");

/// Seconds after which the browser reloads the page.
const REFRESH: u32 = 15;

/// Renders the page.
pub(super) fn render(status: &Status) -> String {
    let read: i64 = status.last_hour.iter().map(|minute| minute.items).sum();
    let written: i64 = status.last_hour.iter().map(|minute| minute.written).sum();
    let streams = || status.accounts.iter().flat_map(|account| &account.streams);
    let is_complete =
        |stream: &&StreamStatus| stream.gap_seconds == 0 && stream.covered_until.is_some();
    let complete = streams().filter(is_complete).count();
    let quarantined: i64 = streams().map(|stream| stream.quarantined_items).sum();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content=(REFRESH);
                title { "paysync: " (headline(status)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "paysync" }
                    p class={ "badge " (if status.healthy { "ok" } else { "failing" }) } { (headline(status)) }
                    p class="quiet" {
                        "version " (status.version) ", "
                        time datetime=(status.generated_at.to_rfc3339()) {
                            (status.generated_at.format("%Y-%m-%d %H:%M:%S UTC"))
                        }
                    }
                }
                main {
                    section class="tiles" aria-label="Summary" {
                        (tile(&status.accounts.len().to_string(), "accounts"))
                        (tile(&grouped(read), "items read in the last hour"))
                        (tile(&grouped(written), "of them new or changed"))
                        (tile(&format!("{complete} of {}", streams().count()), "streams without gaps"))
                        (tile(&grouped(quarantined), "items in quarantine"))
                    }
                    section {
                        h2 { "Last hour" }
                        (chart::render(&status.last_hour))
                    }
                    @if status.accounts.is_empty() {
                        p { "No account has been read yet." }
                    }
                    p class="quiet" {
                        "Coverage: " span class="key covered" {} " read to the end, "
                        span class="key filling" {} " being read, " span class="key gap" {} " not read yet, "
                        span class="key young" {} " too young."
                    }
                    @for account in &status.accounts { (section(account, status)) }
                    (quarantine(status))
                }
                footer class="quiet" {
                    p { "The same as JSON: " a href="/status.json" { "/status.json" } ". Numbers: " a href="/metrics" { "/metrics" } "." }
                }
            }
        }
    }
    .into_string()
}

fn headline(status: &Status) -> String {
    let count = |wanted: State| {
        let accounts = status.accounts.iter();
        accounts.filter(|account| account.state == wanted).count()
    };
    let part = |state: State| format!("{} {}", count(state), state.as_str());
    match (count(State::Suspended), count(State::Failing)) {
        (0, 0) => "healthy".to_owned(),
        (0, _) => part(State::Failing),
        (_, 0) => part(State::Suspended),
        _ => [State::Suspended, State::Failing].map(part).join(", "),
    }
}

fn tile(number: &str, what: &str) -> Markup {
    html! { div class="tile" { span class="number" { (number) } " " span class="quiet" { (what) } } }
}

fn section(account: &AccountStatus, status: &Status) -> Markup {
    let state = account.state.as_str();
    html! {
        section aria-labelledby={ "account-" (account.id) } {
            h2 id={ "account-" (account.id) } {
                (account.id) " " span class="quiet" { (account.provider) } " "
                span class={ "badge " (state) } { (state) }
            }
            (errors(account))
            @if !account.streams.is_empty() {
                table {
                    (head(&["Stream", "Behind", "Coverage", "Missing", "Backfill", "Quarantine"]))
                    tbody { @for stream in &account.streams { (row(stream, status)) } }
                }
            }
        }
    }
}

fn head(columns: &[&str]) -> Markup {
    html! {
        thead {
            tr {
                @for column in columns {
                    th scope="col" class=[(*column == "Coverage").then_some("wide")] { (column) }
                }
            }
        }
    }
}

fn row(stream: &StreamStatus, status: &Status) -> Markup {
    let missing = match stream.gap_seconds {
        0 => html! { "nothing" },
        seconds => html! { strong { (duration(seconds)) } },
    };
    let is_filled = stream.filling.is_empty() && stream.gap_seconds == 0;
    let backfill = match stream.eta_seconds {
        _ if is_filled => "done".to_owned(),
        Some(eta) => format!("{} left", duration(eta)),
        None => "waiting".to_owned(),
    };
    html! {
        tr {
            th scope="row" { (stream.stream) }
            td data-label="Behind" { (duration(stream.lag_seconds)) }
            td data-label="Coverage" { (coverage::render(stream, status.generated_at)) }
            td data-label="Missing" { (missing) }
            td data-label="Backfill" { (backfill) }
            td data-label="Quarantine" { (grouped(stream.quarantined_items)) }
        }
    }
}

/// The errors, each once with the streams that have it.
fn errors(account: &AccountStatus) -> Markup {
    let mut errors: Vec<(&str, Option<&str>, Vec<&str>)> = Vec::new();
    for stream in &account.streams {
        let Some(error) = stream.last_error.as_deref() else {
            continue;
        };
        match errors.iter_mut().find(|(known, ..)| *known == error) {
            Some((_, _, streams)) => streams.push(&stream.stream),
            None => errors.push((error, stream.hint.as_deref(), vec![&stream.stream])),
        }
    }
    html! {
        @for (error, hint, streams) in &errors {
            div class="trouble" {
                p { strong { (error) } }
                @if let Some(hint) = hint { p { (hint) } }
                p class="quiet" { (streams.join(", ")) }
            }
        }
        @if let Some(hint) = account.hint.as_ref().filter(|_| errors.is_empty()) {
            div class="trouble" { p { (hint) } }
        }
    }
}

fn quarantine(status: &Status) -> Markup {
    html! {
        @if !status.quarantine.is_empty() {
            section {
                h2 { "Quarantine" }
                p class="quiet" { "Items that could not be read. Their text is in the table paysync.quarantine." }
                table {
                    (head(&["Account", "Stream", "Reason", "Items", "Last seen"]))
                    tbody {
                        @for reason in &status.quarantine {
                            tr {
                                th scope="row" { (reason.account_id) }
                                td data-label="Stream" { (reason.stream) }
                                td data-label="Reason" { (reason.reason) ": " (reason.detail) }
                                td data-label="Items" { (grouped(reason.items)) }
                                td data-label="Last seen" { (reason.last_seen_at.format("%Y-%m-%d %H:%M")) }
                            }
                        }
                    }
                }
            }
        }
    }
}
