//! The command line: what is asked, and the exit code.
//!
//! 0: done; 1: something is not as it should be; 2: the command line or the configuration is wrong.

mod check;
mod confirm;
mod demo;
mod erase;
mod examples;
mod health;
mod man;
mod operate;
mod output;
mod reload;
mod replay;
mod report;
mod run;
mod settings;
mod signals;
mod simulate;
mod status;
mod sync;
mod verify;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::app::UsageError;
use crate::config::{Config, ConfigError, environment};
use crate::store::StoreError;

use crate::telemetry;

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
    /// Migrate, then keep the tables up to date until SIGTERM or Ctrl-C; SIGHUP reads the accounts anew
    Run,
    /// Read until everything wanted is covered, then end
    Sync(SyncArgs),
    /// Try the configuration, the database and one request per account; writes nothing
    Check(check::Args),
    /// Lag, coverage, gaps and trouble of every account
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask the running daemon how it is; needs neither shell nor curl in a container
    Health(health::Args),
    /// Prove from the database alone that nothing was lost or doubled; writes nothing
    Verify(VerifyArgs),
    /// Tell the life of one row: its versions, the windows that can have seen it, its quarantine
    Why(why::Args),
    /// Forget that an interval was read, so that it is read again
    Resync(ResyncArgs),
    /// Read stored payloads and the quarantine again, as this version and the options do
    Replay(ReplayArgs),
    /// Erase one person and keep the sums; cannot be undone
    Erase(erase::Args),
    /// Stop reading an account; survives restarts
    Pause(OneArgs),
    /// Start reading an account again, and lift a suspension
    Resume(OneArgs),
    /// Bring the database's schema up to date
    Migrate {
        /// Change nothing; print the SQL that creates the roles for readers, operators and the daemon
        #[arg(long, conflicts_with = "json")]
        print_roles: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What is held of a time, by day, currency, kind and status, beside what the provider counts
    Report(report::Args),
    /// Serve the providers' APIs locally, with generated merchants
    Simulate(paysync_simulator::Args),
    /// Print a script that completes commands and flags in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages, one for each command
    Man {
        /// The folder they go to, such as ~/.local/share/man/man1
        directory: PathBuf,
    },
    /// Everything at once with no set-up: a PostgreSQL, simulated providers, the daemon
    Demo(demo::Args),
}

#[derive(Debug, clap::Args)]
struct SyncArgs {
    /// Only this account; may be given more than once
    #[arg(long, value_name = "ID")]
    account: Vec<String>,
    /// Give up on what has kept failing for this long
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    give_up_after: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// Only this account; may be given more than once
    #[arg(long, value_name = "ID")]
    account: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// Only this account; may be given more than once
    #[arg(long, value_name = "ID")]
    account: Vec<String>,
    /// Write nothing; show what would change
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ResyncArgs {
    /// The account
    #[arg(long, value_name = "ID")]
    account: String,
    /// Start of the interval, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: DateTime<Utc>,
    /// End of the interval, RFC 3339; not in it
    #[arg(long, value_name = "TIME")]
    to: DateTime<Utc>,
    /// Only this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    #[command(flatten)]
    confirmation: confirm::Confirmation,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The account
    #[arg(long, value_name = "ID")]
    account: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the command line takes, for documents and shells.
pub fn command() -> clap::Command {
    examples::on(Cli::command())
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
            return fail(2, &usage_line(&error.to_string()));
        }
        // Help and the version, which are asked for.
        Err(error) => error.exit(),
    };
    let runtime = match runtime(&cli.command).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    let code = match runtime.block_on(dispatch(cli)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => fail(exit_code(&error), &line(&error)),
    };
    runtime.shutdown_background();
    code
}

/// One thread does for all but the simulated providers: PostgreSQL and the providers have the work, and
/// memory does not grow with the machine's cores.
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
        Command::Sync(args) => sync::sync(&load()?, &args).await,
        Command::Check(args) => check::check(path.as_deref(), &args).await,
        Command::Status { json } => status::status(&load()?, json).await,
        Command::Health(args) => health::health(&load()?, &args).await,
        Command::Verify(args) => verify::verify(&load()?, &args).await,
        Command::Why(args) => why::why(&load()?, &args).await,
        Command::Resync(args) => operate::resync(&load()?, &args).await,
        Command::Replay(args) => replay::run(&load()?, &args).await,
        Command::Erase(args) => erase::run(&load()?, &args).await,
        Command::Pause(args) => operate::pause(&load()?, &args).await,
        Command::Resume(args) => operate::resume(&load()?, &args).await,
        Command::Migrate {
            print_roles: true, ..
        } => {
            output::line(crate::store::ROLES.trim_end());
            Ok(true)
        }
        Command::Migrate { json, .. } => operate::migrate(&load()?, json).await,
        Command::Report(args) => report::report(&load()?, &args).await,
        Command::Simulate(args) => simulate::simulate(&args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "paysync", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(true)
        }
        Command::Man { directory } => man::write(command(), &directory),
        Command::Demo(args) => demo::demo(&args).await,
    }
}

/// Sets logging up; a filter that cannot be read is a wrong configuration.
fn start_logging(config: &Config, filter: &str) -> Result<(), UsageError> {
    telemetry::init(config.log.format, filter).map_err(|error| UsageError(format!("log: {error}")))
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() || error.is::<UsageError>() {
        2
    } else {
        1
    }
}

/// What is wrong with the command line, on one line: without the usage, which `--help` shows.
fn usage_line(text: &str) -> String {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut said = String::new();
    for line in lines {
        let separator = match said.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => ", ",
        };
        said.extend([separator, line]);
    }
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}; see paysync --help")
}

/// What helps where the database is the trouble.
fn advice(error: &StoreError) -> Option<&'static str> {
    let general = matches!(error, StoreError::Away(_))
        .then_some("check database.url, the server and the way to it");
    error.advice().or(general)
}

/// The whole chain of causes on one line, and what helps.
fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Some libraries repeat their cause.
        if !line.ends_with(&cause) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(&paysync_provider::wire::one_line(&cause));
        }
    }
    if let Some(advice) = error.downcast_ref().and_then(advice) {
        line.extend(["; ", advice]);
    }
    line
}

fn fail(code: u8, message: &str) -> ExitCode {
    output::error(message);
    ExitCode::from(code)
}
