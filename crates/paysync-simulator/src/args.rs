//! The command line of `paysync simulate`.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::settings::Settings;

/// Serves the five provider APIs locally, with generated merchants.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// Rows of history per provider.
    #[arg(long, default_value_t = 10_000)]
    pub rows: u64,
    /// Equal seeds give equal merchants.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Days of history before now.
    #[arg(long, default_value_t = 90)]
    pub days: u32,
    /// End of the history, such as 2026-01-01T00:00:00Z: equal ends and seeds give equal histories [default: now].
    #[arg(long, value_name = "TIME")]
    pub until: Option<DateTime<Utc>>,
    /// Change every Nth row of the history once more at its end; 0 for none.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub changed: u32,
    /// Rows of the history that share one creation instant.
    #[arg(long, default_value_t = 0)]
    pub burst: u32,
    /// New rows per second and provider.
    #[arg(long, default_value_t = 1)]
    pub rate: u32,
    /// Changes of existing rows per minute and provider.
    #[arg(long, default_value_t = 60)]
    pub churn: u32,
    /// Share of requests that are answered with a fault, such as 0.1.
    #[arg(long, default_value = "0", value_parser = per_mille, value_name = "SHARE")]
    pub fail: u32,
    /// Time that every answer takes, such as 50ms.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub latency: Duration,
    /// Cache up to this many MiB of rendered rows per provider, for measurements on the same machine.
    #[arg(long, default_value_t = 0, value_name = "MIB")]
    pub keep: usize,
    /// Most rows of a page, below what an API itself allows.
    #[arg(long, value_name = "ROWS")]
    pub page_cap: Option<u32>,
}

impl Args {
    /// The arguments of the demonstration: `rows` of history, `rate` new rows per second.
    pub fn demo(rows: u64, rate: u32) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rows,
            seed: 1,
            days: 90,
            until: None,
            changed: 0,
            burst: 0,
            rate,
            churn: 60,
            fail: 0,
            latency: Duration::ZERO,
            keep: 0,
            page_cap: None,
        }
    }

    /// The settings of a simulator that starts at `now`.
    pub fn settings(&self, now: DateTime<Utc>) -> Settings {
        Settings {
            rows: self.rows,
            seed: self.seed,
            changed: self.changed,
            burst: self.burst,
            rate: self.rate,
            churn: self.churn,
            fail_per_mille: self.fail,
            latency: self.latency,
            keep: self.keep.saturating_mul(1 << 20),
            page_cap: self.page_cap,
            ..Settings::new(self.until.unwrap_or(now), self.days)
        }
    }

    /// The settings of a simulator that starts now.
    pub fn settings_now(&self) -> Settings {
        self.settings(Clock::default().now())
    }
}

/// A share between 0 and 1 with up to three decimals, in thousandths.
fn per_mille(text: &str) -> Result<u32, String> {
    let refused = || format!("`{text}` is not a share between 0 and 1 with up to three decimals");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal(whole) || !decimal(fraction) || whole.is_empty() || fraction.len() > 3 {
        return Err(refused());
    }
    format!("{whole}{fraction:0<3}")
        .parse()
        .ok()
        .filter(|share| *share <= 1000)
        .ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::per_mille;

    #[test]
    fn shares_are_read_without_floats() {
        for (text, expected) in [
            ("0", 0),
            ("0.1", 100),
            ("0.025", 25),
            ("1", 1000),
            ("1.000", 1000),
        ] {
            assert_eq!(per_mille(text), Ok(expected), "{text}");
        }
        for text in ["", "-1", "1.001", "0.1234", "10%", ".5", "2"] {
            assert!(per_mille(text).is_err(), "{text}");
        }
    }
}
