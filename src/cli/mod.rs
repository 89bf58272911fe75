//! The command line.
//!
//! Exit code 0: success; 1: the command failed or found a problem; 2: the command line or the
//! configuration is wrong.

mod check;
mod demo;
mod erase;
mod forget;
mod health;
mod interface;
mod man;
mod migrate;
mod pause;
mod recount;
mod replay;
mod report;
mod resync;
mod run;
mod simulate;
mod status;
mod sync;
mod verify;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Config, environment};
use interface::{errors, examples, output};

/// Copies payment transactions from payment providers into PostgreSQL, and proves that nothing is missing.
#[derive(Debug, Parser)]
#[command(name = "paysync", version, max_term_width = 100, after_help = examples::ALL)]
struct Cli {
    /// Configuration file [default: config/paysync.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Migrate, then keep the tables up to date until SIGTERM or Ctrl-C; SIGHUP reloads the accounts
    Run,
    /// Read until everything wanted is covered, then exit
    Sync(sync::Args),
    /// Test the configuration, the database and one request per account; writes nothing
    Check(check::Args),
    /// Show lag, coverage, gaps and errors of every account
    Status(status::Args),
    /// Check the health of the running daemon; needs neither shell nor curl in a container
    Health(health::Args),
    /// Prove from the database alone that nothing was lost or duplicated; writes nothing
    Verify(verify::Args),
    /// Show the history of one row: its versions, the windows that may have read it, its quarantine
    Why(why::Args),
    /// Forget that an interval was read, so that it is read again
    Resync(resync::Args),
    /// Read stored payloads and the quarantine again, and redact all that is stored, by the current options
    Replay(replay::Args),
    /// Rebuild payment keys and daily sums from the rows, after changes by hand
    Recount(recount::Args),
    /// Erase the data of one person and keep the sums; cannot be undone
    Erase(erase::Args),
    /// Remove everything of an account, except a record of it; cannot be undone
    Forget(forget::Args),
    /// Stop reading an account; survives restarts
    Pause(pause::Args),
    /// Start reading an account again, and lift a suspension
    Resume(pause::Args),
    /// Bring the database's schema up to date
    Migrate(migrate::Args),
    /// Show the totals of an interval by day, currency, kind and status, with the counts of the provider
    Report(report::Args),
    /// Serve the providers' APIs locally, with generated merchants
    Simulate(paysync_simulator::Args),
    /// Print a script for the completion of commands and flags in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages, one for each command
    Man {
        /// Their folder, such as ~/.local/share/man/man1
        directory: PathBuf,
    },
    /// Run everything without set-up: a PostgreSQL, simulated providers, the daemon
    Demo(demo::Args),
}

/// The command line, with examples in its help.
pub fn command() -> clap::Command {
    examples::add(Cli::command())
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error)
            if error.use_stderr()
                && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            return fail(2, &errors::usage_line(&error.to_string()));
        }
        // The user asked for help or the version.
        Err(error) => error.exit(),
    };
    let runtime = match runtime(&cli.command).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    let code = match runtime.block_on(dispatch(cli)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => fail(errors::exit_code(&error), &errors::line(&error)),
    };
    runtime.shutdown_background();
    code
}

/// One thread suffices, except for the simulated providers: PostgreSQL and the providers do the work, and
/// memory does not grow with the number of cores.
fn runtime(command: &Command) -> tokio::runtime::Builder {
    match command {
        Command::Simulate(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<bool> {
    let path = cli.config;
    let load = || Config::load(path.as_deref(), &environment());
    match cli.command {
        Command::Run => run::run(path.as_deref()).await,
        Command::Sync(args) => sync::run(&load()?, &args).await,
        Command::Check(args) => check::run(path.as_deref(), &args).await,
        Command::Status(args) => status::run(&load()?, &args).await,
        Command::Health(args) => health::run(&load()?, &args).await,
        Command::Verify(args) => verify::run(&load()?, &args).await,
        Command::Why(args) => why::run(&load()?, &args).await,
        Command::Resync(args) => resync::run(&load()?, &args).await,
        Command::Replay(args) => replay::run(&load()?, &args).await,
        Command::Recount(args) => recount::run(&load()?, &args).await,
        Command::Erase(args) => erase::run(&load()?, &args).await,
        Command::Forget(args) => forget::run(&load()?, &args).await,
        Command::Pause(args) => pause::run(&load()?, &args, true).await,
        Command::Resume(args) => pause::run(&load()?, &args, false).await,
        Command::Migrate(args) if args.print_roles => Ok(migrate::print_roles()),
        Command::Migrate(args) => migrate::run(&load()?, &args).await,
        Command::Report(args) => report::run(&load()?, &args).await,
        Command::Simulate(args) => simulate::run(&args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "paysync", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(true)
        }
        Command::Man { directory } => man::write(command(), &directory),
        Command::Demo(args) => demo::run(&args).await,
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    output::error(message);
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn every_command_has_examples_that_parse() {
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
