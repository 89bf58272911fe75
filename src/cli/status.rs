//! `paysync status`: a table, or JSON.

use std::io::IsTerminal as _;

use super::interface::output::{self, duration};
use crate::app::App;
use crate::config::Config;
use crate::engine::inspect::status::{self, State, StreamStatus};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let app = App::new(config, &[])?;
    app.store.reach().await?;
    let status = status::load(&app.store, &app.engine.accounts).await?;
    if args.json {
        output::json(&status)?;
        return Ok(status.healthy);
    }
    if status.accounts.is_empty() {
        output::line("no account is configured: add an [[accounts]] entry");
        return Ok(status.healthy);
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let header = "ACCOUNT, STATE, STREAM, LAG, COVERED FROM, GAPS, OPEN, QUARANTINE";
    let mut rows = Vec::new();
    let mut row_states = vec![None];
    for account in &status.accounts {
        if account.streams.is_empty() {
            let state = account.state.as_str();
            rows.push([&account.id, state, "-"].map(str::to_owned).to_vec());
            row_states.push(Some(account.state));
        }
        for stream in &account.streams {
            rows.push(cells(&account.id, account.state, stream));
            row_states.push(Some(account.state));
        }
    }
    let rows = output::with_header(header, rows);
    for (line, state) in output::table(&rows).into_iter().zip(row_states) {
        match state.filter(|_| colour) {
            Some(state) => output::line(format!("\u{1b}[{}m{line}\u{1b}[0m", colour_of(state))),
            None => output::line(line),
        }
    }
    for account in &status.accounts {
        for stream in &account.streams {
            if let Some(error) = &stream.last_error {
                output::line(format!("\n{} {}: {error}", account.id, stream.stream));
                if let Some(hint) = &stream.hint {
                    output::line(format!("  {hint}"));
                }
            }
        }
        let has_error = account.streams.iter().any(|it| it.last_error.is_some());
        if let Some(hint) = account.hint.as_ref().filter(|_| !has_error) {
            output::line(format!("\n{}: {hint}", account.id));
        }
    }
    Ok(status.healthy)
}

fn cells(account: &str, state: State, stream: &StreamStatus) -> Vec<String> {
    let from = stream
        .covered_from
        .map(|from| from.format("%Y-%m-%d %H:%M").to_string());
    vec![
        account.to_owned(),
        state.as_str().to_owned(),
        stream.stream.clone(),
        duration(stream.lag_seconds),
        from.unwrap_or_else(|| "-".to_owned()),
        match stream.gap_seconds {
            0 => "none".to_owned(),
            seconds => duration(seconds),
        },
        stream.open_windows.to_string(),
        stream.quarantined_items.to_string(),
    ]
}

const fn colour_of(state: State) -> &'static str {
    match state {
        State::Ok => "32",
        State::Backfilling => "36",
        State::Failing => "33",
        State::Suspended => "31",
        State::Paused => "35",
    }
}
