//! The table, and what it must show.

use crate::database::SETTINGS;
use crate::load::Load;
use crate::run::{After, Run};
use crate::spread::{Spread, number};

/// The report as it grows, section by section.
#[derive(Default)]
pub struct Report {
    lines: Vec<String>,
    goals: Vec<(String, String, bool)>,
}

impl Report {
    /// A line of the table: what was run, beside what.
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

    /// Something that has no rows.
    pub fn other(&mut self, what: &str, figures: &str) {
        self.lines.push(format!("| {what} | {figures} |||||||"));
    }

    pub fn goal(&mut self, goal: &str, figure: String, met: bool) {
        self.goals.push((goal.to_owned(), figure, met));
    }

    pub fn load(&mut self, load: &Load, rows: u64) {
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
            ("nothing changed", &load.again),
            ("10 % changed", &load.changed),
        ] {
            for at in 0..2 {
                let what = format!("re-scan, {name}, `concurrency = {}`", at + 1);
                let ratio = format!("{} × load", ratio(&runs[at], &load.load[at]));
                self.line(&what, &runs[at], &ratio);
            }
        }
        self.load_goals(load);
    }

    fn load_goals(&mut self, load: &Load) {
        for at in 0..2 {
            let share = ratio(&load.load[at], &load.copy[at]);
            self.goal(
                &format!("load of new rows at least 0.85 of COPY, {} at once", at + 1),
                share.to_string(),
                share.median() >= 0.85,
            );
        }
        for at in 0..2 {
            let times = ratio(&load.again[at], &load.load[at]);
            self.goal(
                &format!(
                    "re-scan of unchanged rows at least 4 × load, {} at once",
                    at + 1
                ),
                times.to_string(),
                times.median() >= 4.0,
            );
        }
        let client: Spread = load
            .again
            .iter()
            .flatten()
            .map(|run| run.each(run.client))
            .collect();
        self.goal(
            "re-scan under 8 µs of client CPU per row",
            client.to_string(),
            client.median() < 8.0,
        );
        let after: Vec<After> = load
            .again
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
        let bookkeeping: Spread = load.again.iter().flatten().map(Run::wal_each).collect();
        self.goal(
            "0 bytes of WAL per unchanged row beyond the windows' own",
            format!(
                "{wal} bytes of all rounds changed tables of rows or their indexes; {inserted} rows inserted there, {updated} \
                 updated; the windows' own are {bookkeeping} B/row"
            ),
            wal == 0 && inserted == 0 && updated == 0,
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
        println!(
            "| | rows/s | | client µs/row | server µs/row | provider µs/row | WAL B/row | peak MiB |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for line in &self.lines {
            println!("{line}");
        }
        println!("\n| must show | figure | |\n|---|---|---|");
        for (goal, figure, met) in &self.goals {
            println!(
                "| {goal} | {figure} | {} |",
                if *met { "pass" } else { "**fail**" }
            );
        }
    }
}

/// The rates of the one by those of the other, round by round.
fn ratio(one: &[Run], other: &[Run]) -> Spread {
    one.iter()
        .zip(other)
        .map(|(one, other)| one.rate() / other.rate())
        .collect()
}
