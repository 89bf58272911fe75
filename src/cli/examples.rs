//! What `--help` of each command teaches by example; a test tries every line.

use std::collections::BTreeMap;

pub(super) const ALL: &str = "\
Examples:
  paysync demo                         see it at work, with a database and providers of its own
  paysync check                        try the configuration, the database and each account
  paysync sync --account acme-eur      read everything that is missing, then end
  paysync run                          keep the tables up to date until stopped
  paysync status --json                how every account is, for scripts";

const EACH: &[(&str, &str)] = &[
    (
        "run",
        "  paysync run                                  keep the tables up to date until Ctrl-C
  paysync run --config /etc/paysync.toml       the same with another configuration",
    ),
    (
        "sync",
        "  paysync sync                                 read everything that is missing, then end
  paysync sync --account acme-eur --json       one account, with a report for scripts
  paysync sync --give-up-after 30m             be patient with a provider that is down",
    ),
    (
        "check",
        "  paysync check                                try everything, once
  paysync check --account acme-eur --json      one account, for scripts
  paysync check --print-config                 every setting, and where it comes from",
    ),
    (
        "status",
        "  paysync status                               a table for people
  paysync status --json                        the same for scripts; exit code 1 if unhealthy",
    ),
    (
        "health",
        "  paysync health                               the daemon answers and reaches the database
  paysync health --ready                       and every stream moves on",
    ),
    (
        "verify",
        "  paysync verify                               a line for each account and check
  paysync verify --account acme-eur --json     one account, for scripts; exit code 1 if unproven",
    ),
    (
        "why",
        "  paysync why acme-eur 0f8a31c2                how this row came to be what it is
  paysync why acme-eur 0f8a31c2 --json         the same for scripts, with every column",
    ),
    (
        "resync",
        "  paysync resync --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --dry-run
      what it would cost to read January again
  paysync resync --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --yes
      read January again, without a question",
    ),
    (
        "replay",
        "  paysync replay --dry-run                     what this version would read otherwise
  paysync replay --account acme-eur            correct the rows, empty the quarantine",
    ),
    (
        "erase",
        "  paysync erase --customer jane@example.com --dry-run
      which accounts hold rows of this person, and how many
  paysync erase --customer jane@example.com --yes
      empty what names this person, without a question",
    ),
    (
        "report",
        "  paysync report --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
      January, beside what the provider counted
  paysync report --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --format csv
      the same for a spreadsheet",
    ),
    (
        "pause",
        "  paysync pause --account acme-eur             stop reading it until it is resumed",
    ),
    (
        "resume",
        "  paysync resume --account acme-eur            read it again, and lift a suspension",
    ),
    (
        "migrate",
        "  paysync migrate                              before a new version starts, by hand
  paysync migrate --print-roles                SQL for a superuser: roles for readers and operators",
    ),
    (
        "simulate",
        "  paysync simulate                             five APIs on 127.0.0.1:7070
  paysync simulate --rows 100000 --fail 0.1    a larger history, and every tenth answer a fault",
    ),
    (
        "demo",
        "  paysync demo                                 until Ctrl-C
  paysync demo --once --rows 1000              read, show, end",
    ),
    (
        "completions",
        "  paysync completions bash                     a script for ~/.local/share/bash-completion/completions/paysync
  paysync completions fish                     a script for ~/.config/fish/completions/paysync.fish",
    ),
    (
        "man",
        "  paysync man ~/.local/share/man/man1          then man paysync, and man paysync-sync",
    ),
];

/// The commands, each with its examples after its help.
pub(super) fn on(command: clap::Command) -> clap::Command {
    let each: BTreeMap<&str, &str> = EACH.iter().copied().collect();
    command.mut_subcommands(|command| match each.get(command.get_name()) {
        Some(examples) => {
            let examples = format!("Examples:\n{examples}");
            command.after_help(examples)
        }
        None => command,
    })
}

#[cfg(test)]
mod tests {
    use super::super::command;

    #[test]
    fn every_command_teaches_by_examples_that_work() {
        for of in command().get_subcommands() {
            let help = of.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_else(|| panic!("{} has no example", of.get_name()));
            let examples = help
                .lines()
                .filter_map(|line| line.strip_prefix("  paysync "));
            let examples: Vec<&str> = examples.collect();
            assert!((1..=3).contains(&examples.len()), "{help}");
            for example in examples {
                let shown = example.split("  ").next().unwrap();
                let words = shown.split_whitespace();
                let tried = command().try_get_matches_from(["paysync"].into_iter().chain(words));
                let tried = tried.unwrap_or_else(|error| panic!("{shown}: {error}"));
                assert_eq!(tried.subcommand_name(), Some(of.get_name()), "{shown}");
            }
        }
    }
}
