//! The question before a change that cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::app::UsageError;

/// The flags of a command that asks before it changes anything.
#[derive(Debug, clap::Args)]
pub(crate) struct Confirmation {
    /// Do not ask; required with --json and where there is no terminal
    #[arg(long)]
    yes: bool,
    /// Change nothing; show what would change
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Print JSON; requires --yes or --dry-run
    #[arg(long)]
    pub(crate) json: bool,
}

impl Confirmation {
    /// Fails where the question is not answered by a flag and cannot be asked.
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        let place = if self.json {
            "with --json"
        } else {
            "without a terminal"
        };
        let can_ask = !self.json && io::stdin().is_terminal() && io::stdout().is_terminal();
        if self.yes || self.dry_run || can_ask {
            return Ok(());
        }
        Err(UsageError(format!(
            "cannot ask for confirmation {place}: add --yes to confirm, or --dry-run to see what would change"
        )))
    }

    /// Whether `--yes` or the person at the terminal says yes.
    pub(crate) fn ask(&self, question: &str) -> io::Result<bool> {
        Ok(self.yes || is_yes(&answer(&format!("{question} [y/N]"))?))
    }

    /// The same, where the person says yes by typing a word.
    pub(crate) fn ask_for(&self, word: &str, question: &str) -> io::Result<bool> {
        Ok(self.yes || answer(question)?.trim() == word)
    }
}

fn answer(question: &str) -> io::Result<String> {
    let mut out = io::stdout().lock();
    write!(out, "{question} ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in [
            ("y\n", true),
            (" Yes \n", true),
            ("\n", false),
            ("", false),
            ("no\n", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
