//! Examples in the help of each command; a test parses each of them.

pub(crate) const ALL: &str = "\
Examples:
  paysync demo                         a demonstration with its own database and providers
  paysync check                        test the configuration, the database and each account
  paysync sync --account acme-eur      read everything that is missing, then exit
  paysync run                          keep the tables up to date until stopped
  paysync status --json                the state of every account, for scripts";

/// The examples of each command, whose name is the second word.
const EACH: &str = "\
  paysync run                                  keep the tables up to date until Ctrl-C
  paysync run --config /etc/paysync.toml       the same with another configuration

  paysync sync                                 read everything that is missing, then exit
  paysync sync --account acme-eur --json       one account, with a report for scripts
  paysync sync --give-up-after 30m             wait longer for a provider that is down

  paysync check                                test everything, once
  paysync check --account acme-eur --json      one account, for scripts
  paysync check --print-config                 every setting and its origin

  paysync status                               a table for people
  paysync status --json                        the same for scripts; exit code 1 if unhealthy

  paysync health                               the daemon and its database answer
  paysync health --ready                       and no stream is stalled

  paysync verify                               a line for each account and check
  paysync verify --account acme-eur --json     one account, for scripts; exit code 1 if unproven

  paysync why acme-eur 0f8a31c2                the history of this row
  paysync why acme-eur 0f8a31c2 --json         the same for scripts, with every column

  paysync resync --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --dry-run
      the cost of reading January again
  paysync resync --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --yes
      read January again, without confirmation

  paysync replay --dry-run                     what this version would correct
  paysync replay --account acme-eur            correct the rows, empty the quarantine

  paysync recount                              every account of the database
  paysync recount --account acme-eur --json    one account, with a report for scripts

  paysync erase --customer jane@example.com --dry-run
      the number of rows of this person in each account
  paysync erase --customer jane@example.com --yes
      erase the data of this person, without confirmation

  paysync forget --account acme-eur --dry-run  the number of rows of this account in each table
  paysync forget --account acme-eur --yes      remove everything of this account, without confirmation

  paysync report --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
      January, with the counts of the provider
  paysync report --account acme-eur --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --format csv
      the same for a spreadsheet

  paysync pause --account acme-eur             stop reading it until it is resumed

  paysync resume --account acme-eur            read it again, and lift a suspension

  paysync migrate                              by hand, before a new version starts
  paysync migrate --print-roles                SQL for a superuser: roles for readers and operators

  paysync simulate                             five APIs on 127.0.0.1:7070
  paysync simulate --rows 100000 --fail 0.1    a larger history; every tenth answer is a fault

  paysync demo                                 until Ctrl-C
  paysync demo --once --rows 1000              read, show, exit

  paysync completions bash                     a script for ~/.local/share/bash-completion/completions/paysync
  paysync completions fish                     a script for ~/.config/fish/completions/paysync.fish

  paysync man ~/.local/share/man/man1          then man paysync, and man paysync-sync";

/// Adds the examples to the help of each command.
pub(crate) fn add(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|command| {
        let mut each = EACH.split("\n\n");
        let of_it = |it: &&str| it.split_whitespace().nth(1) == Some(command.get_name());
        match each.find(of_it) {
            Some(examples) => command.after_help(format!("Examples:\n{examples}")),
            None => command,
        }
    })
}
