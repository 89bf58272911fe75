//! The table, and the goals of the measurement.

use std::fmt::Display;

use crate::database::SETTINGS;
use crate::fresh::{Fresh, POLL, RATE};
use crate::idle::{ACCOUNTS, Idle};
use crate::load::Figures;
use crate::memory::Memory;
use crate::pair::Runs;
use crate::run::{After, Run};
use crate::spread::{Spread, number};

/// The report, built section by section.
#[derive(Default)]
pub struct Report {
    lines: Vec<String>,
    others: Vec<String>,
    goals: Vec<String>,
}

impl Report {
    /// A line of the table of runs.
    pub fn line(&mut self, what: &str, runs: &[Run], ratio: &str) {
        let all = |value: fn(&Run) -> f64| runs.iter().map(value).collect::<Spread>().to_string();
        let wal = all(Run::wal_each);
        let seen = |text: String, is_seen: bool| if is_seen { text } else { "–".to_owned() };
        self.lines.push(format!(
            "| {what} | {} | {ratio} | {} | {} | {} | {wal} | {} |",
            all(Run::rate),
            all(|run| run.each(run.client)),
            all(|run| run.each(run.server)),
            seen(
                all(|run| run.each(run.provider)),
                runs.iter().any(|run| !run.provider.is_zero())
            ),
            seen(all(Run::peak_mib), runs.iter().any(|run| run.peak_kib > 0)),
        ));
    }

    /// A line of figures that are not rates.
    pub fn other(&mut self, what: &str, figures: &str) {
        self.others.push(format!("| {what} | {figures} |"));
    }

    pub fn goal(&mut self, goal: &str, figure: &dyn Display, reached: bool) {
        let verdict = if reached { "pass" } else { "**fail**" };
        self.goals
            .push(format!("| {goal} | {figure} | {verdict} |"));
    }

    /// Two programs: the first one's rows say how it compares with the second.
    pub fn pair(&mut self, [first, second]: &[Runs; 2]) {
        for (what, one, other) in [
            ("load", &first.load, &second.load),
            ("re-scan, nothing changed", &first.rescan, &second.rescan),
        ] {
            let ratios = [
                ("rows/s", Run::rate as fn(&Run) -> f64),
                ("client", |run| run.each(run.client)),
                ("server", |run| run.each(run.server)),
                ("WAL", Run::wal_each),
            ]
            .map(|(name, value)| format!("{name} {} ×", ratio_of(one, other, value)));
            self.line(&format!("{what}, this program"), one, &ratios.join(", "));
            self.line(&format!("{what}, the other"), other, "1");
        }
    }

    pub fn load(&mut self, load: &Figures, rows: u64) {
        let rows = number(rows as f64);
        for (at, connections) in ["1 connection", "2 connections"].iter().enumerate() {
            let what = format!("COPY of {rows} rows, {connections}");
            self.line(&what, &load.copy[at], "the limit");
        }
        for at in 0..2 {
            let what = format!("load over HTTP, `concurrency = {}`", at + 1);
            let ratio = format!(
                "{} of COPY with {}, {} with {}",
                ratio(&load.load[at], &load.copy[at]),
                at + 1,
                ratio(&load.load[at], &load.copy[1 - at]),
                2 - at
            );
            self.line(&what, &load.load[at], &ratio);
        }
        for (name, runs) in [
            ("nothing changed", &load.rescan),
            ("10 % changed", &load.changed),
        ] {
            for (at, runs) in runs.iter().enumerate() {
                let what = format!("re-scan, {name}, `concurrency = {}`", at + 1);
                let ratio = format!("{} × load", ratio(runs, &load.load[at]));
                self.line(&what, runs, &ratio);
            }
        }
        self.load_goals(load);
    }

    fn load_goals(&mut self, load: &Figures) {
        for at in 0..2 {
            let share = ratio(&load.load[at], &load.copy[at]);
            self.goal(
                &format!("load of new rows at least 0.85 of COPY, {} at once", at + 1),
                &share,
                share.median() >= 0.85,
            );
        }
        for at in 0..2 {
            let times = ratio(&load.rescan[at], &load.load[at]);
            self.goal(
                &format!(
                    "re-scan of unchanged rows at least 4 × load, {} at once",
                    at + 1
                ),
                &times,
                times.median() >= 4.0,
            );
        }
        let client: Spread = load
            .rescan
            .iter()
            .flatten()
            .map(|run| run.each(run.client))
            .collect();
        self.goal(
            "re-scan under 8 µs of client CPU per row",
            &client,
            client.median() < 8.0,
        );
        let after: Vec<After> = load
            .rescan
            .iter()
            .flatten()
            .filter_map(|run| run.after)
            .collect();
        let (wal, inserted, updated) = after.iter().fold((0, 0, 0), |sum, after| {
            (
                sum.0 + after.wal,
                sum.1 + after.inserted,
                sum.2 + after.updated,
            )
        });
        let bookkeeping: Spread = load.rescan.iter().flatten().map(Run::wal_each).collect();
        self.goal(
            "0 bytes of WAL per unchanged row beyond the windows' own",
            &format!(
                "{wal} bytes of all rounds changed tables of rows or their indexes; {inserted} rows inserted there, {updated} \
                 updated; the windows' own are {bookkeeping} B/row"
            ),
            wal == 0 && inserted == 0 && updated == 0,
        );
    }

    pub fn providers(&mut self, providers: &[(&str, Run)]) {
        for (provider, run) in providers {
            let what = format!("load of {provider}, one round");
            self.line(&what, &[*run], "");
        }
    }

    pub fn memory(&mut self, lengths: &[Memory]) {
        for accounts in 1..=2 {
            for memory in lengths {
                let what = format!(
                    "load of {} rows{}",
                    number(memory.rows as f64),
                    if accounts == 1 {
                        ""
                    } else {
                        " each of two accounts at once"
                    }
                );
                self.line(&what, &memory.runs[accounts - 1], "");
            }
            let (Some(short), Some(long)) = (lengths.first(), lengths.last()) else {
                return;
            };
            let (most, times) = (
                long.peak(accounts).most(),
                long.peak(accounts).median() / short.peak(accounts).median(),
            );
            let of = if accounts == 1 {
                "one account"
            } else {
                "two accounts"
            };
            self.goal(
                &format!("peak memory of the longest history under 48 MiB, {of}"),
                &format!("{} MiB", number(most)),
                most < 48.0,
            );
            self.goal(
                &format!("and within 10 % of that of a hundredth of it, {of}"),
                &format!("{} ×", number(times)),
                (times - 1.0).abs() <= 0.1,
            );
        }
    }

    pub fn crowd(&mut self, run: Run, rows: u64) {
        let what = format!(
            "load of {} rows each of {ACCOUNTS} accounts at once",
            number(rows as f64)
        );
        self.line(&what, &[run], "");
    }

    pub fn idle(&mut self, idle: &Idle) {
        self.other(
            &format!("idle, {ACCOUNTS} accounts that look each minute"),
            &format!(
                "client {} % of a core, server {} %, {} connections, {} commits/s, {:.1} MiB; requests per second: {:.1} on \
                 average, {} in the busiest second",
                idle.client,
                idle.server,
                idle.connections,
                idle.commits,
                idle.resident,
                idle.requests.mean(),
                number(idle.requests.most()),
            ),
        );
        self.goal(
            "100 idle accounts under 1 % of one core",
            &format!("{} %", idle.client),
            idle.client.median() < 1.0,
        );
        self.goal(
            "and at most 4 connections",
            &number(idle.connections.most()),
            idle.connections.most() <= 4.0,
        );
        let crowd = idle.requests.most() / (idle.requests.mean() * 60.0);
        self.goal(
            "and no thundering herd: at most a tenth of a minute's requests in one second",
            &number(crowd),
            crowd <= 0.1,
        );
    }

    pub fn fresh(&mut self, fresh: &Fresh) {
        let poll = POLL.as_secs_f64() * 1000.0;
        let (median, late) = (fresh.percentile(50), fresh.percentile(99));
        self.other(
            &format!(
                "fresh, {RATE} new rows a second, `poll_interval = {} s`",
                POLL.as_secs()
            ),
            &format!(
                "of {} rows, from visible to seen by a reader that asks every 5 ms: median {} ms, 99th percentile {} ms, most {} \
                 ms",
                fresh.rows(),
                number(median),
                number(late),
                number(fresh.percentile(100)),
            ),
        );
        self.goal(
            "visible to queryable: poll interval + under 250 ms at the 99th percentile",
            &format!("poll interval {:+.0} ms", late - poll),
            late - poll < 250.0,
        );
    }

    pub fn print(&self, machine: &str, rounds: u32) {
        let settings = SETTINGS.map(|(name, value, why)| format!("`{name} = {value}` ({why})"));
        println!("{machine}\n");
        println!(
            "Medians of {rounds} rounds (least–most), the variants of a round in turn. Durable commits; the server has {}; \
             else as shipped. CPU is what the kernel counts for each process, in µs per row; the server's is that of all its \
             processes.\n",
            settings.join(", ")
        );
        table(
            "| | rows/s | | client µs/row | server µs/row | provider µs/row | WAL B/row | peak MiB |",
            &self.lines,
        );
        table("| at rest | |", &self.others);
        table("| must show | | |", &self.goals);
    }
}

/// Prints a table, unless it is empty.
fn table(head: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    println!("{head}");
    println!("{}|", "|---".repeat(head.matches('|').count() - 1));
    for line in lines {
        println!("{line}");
    }
    println!();
}

/// The rate of one divided by the rate of the other, for each round.
fn ratio(one: &[Run], other: &[Run]) -> Spread {
    ratio_of(one, other, Run::rate)
}

fn ratio_of(one: &[Run], other: &[Run], value: fn(&Run) -> f64) -> Spread {
    one.iter()
        .zip(other)
        .map(|(one, other)| value(one) / value(other))
        .collect()
}
