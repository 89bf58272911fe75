//! Examples in the help of each command; a test parses each of them.

use std::collections::BTreeMap;

pub(crate) const ALL: &str = "\
Examples:
  paysync demo                         a demonstration with its own database and providers
  paysync check                        test the configuration, the database and each account
  paysync sync --account acme-eur      read everything that is missing, then exit
  paysync run                          keep the tables up to date until stopped
  paysync status --json                the state of every account, for scripts";

const EACH: &[(&str, &str)] = &[
    (
        "run",
        "  paysync run                                  keep the tables up to date until Ctrl-C
  paysync run --config /etc/paysync.toml       the same with another configuration",
    ),
    (
        "sync",
        "  paysync sync                                 read everything that is missing, then exit
  paysync sync --account acme-eur --json       one account, with a report for scripts
  paysync sync --give-up-after 30m             wait longer for a provider that is down",
    ),
    (
        "check",
        "  paysync check                                test everything, once
  paysync check --account acme-eur --json      one account, for scripts
  paysync check --print-config                 every setting and its origin",
    ),
    (
        "status",
        "  paysync status                               a table for people
  paysync status --json                        the same for scripts; exit code 1 if unhealthy",
    ),
    (
        "health",
        "  paysync health                               the daemon and its database answer
  paysync health --ready                       and no stream is stalled",
    ),
    (
        "verify",
        "  paysync verify                               a line for each account and check
  paysync verify --account acme-eur --json     one account, for scripts; exit code 1 if unproven",
    ),
    (
        "why",
        "  paysync why acme-eur 0f8a31c2                the history of this row
  paysync why acme-eur 0f8a31c2 --json         the same for scripts, with every column",
    ),
    (
        "resync",
        "  paysync resync --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --dry-run
      the cost of reading January again
  paysync resync --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --yes
      read January again, without confirmation",
    ),
    (
        "replay",
        "  paysync replay --dry-run                     what this version would correct
  paysync replay --account acme-eur            correct the rows, empty the quarantine",
    ),
    (
        "erase",
        "  paysync erase --customer jane@example.com --dry-run
      the number of rows of this person in each account
  paysync erase --customer jane@example.com --yes
      erase the data of this person, without confirmation",
    ),
    (
        "report",
        "  paysync report --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
      January, with the counts of the provider
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
        "  paysync migrate                              by hand, before a new version starts
  paysync migrate --print-roles                SQL for a superuser: roles for readers and operators",
    ),
    (
        "simulate",
        "  paysync simulate                             five APIs on 127.0.0.1:7070
  paysync simulate --rows 100000 --fail 0.1    a larger history; every tenth answer is a fault",
    ),
    (
        "demo",
        "  paysync demo                                 until Ctrl-C
  paysync demo --once --rows 1000              read, show, exit",
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

/// Adds the examples to the help of each command.
pub(crate) fn add(command: clap::Command) -> clap::Command {
    let each: BTreeMap<&str, &str> = EACH.iter().copied().collect();
    command.mut_subcommands(|command| match each.get(command.get_name()) {
        Some(examples) => {
            let examples = format!("Examples:\n{examples}");
            command.after_help(examples)
        }
        None => command,
    })
}
