//! A schedule of faults, drawn from a seed: what the providers hold, and what happens to them, to
//! the database and to the processes that read.

use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;
use paysync_simulator::{BetweenPages, Fault, Provider, Settings};

use crate::support::{history, providers};

/// Everything that a seed decides.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) providers: Vec<Provider>,
    pub(super) settings: Settings,
    /// Lines for every account of the configuration.
    pub(super) account: String,
    pub(super) lease_ttl_ms: u64,
    /// Changes and new rows come all the time, this far apart on average.
    pub(super) life_ms: u64,
    /// What happens, and how long nothing does afterwards.
    pub(super) acts: Vec<(Act, Duration)>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// The program is started, perhaps with places at which it dies or stumbles.
    Start {
        command: &'static str,
        places: String,
    },
    /// An engine works in a runtime that is then torn down, by a clock that is wrong.
    Shifted {
        by: TimeDelta,
        daemon: bool,
        lives: Duration,
    },
    /// SIGKILL.
    Kill,
    /// SIGTERM: it finishes its pages.
    Terminate,
    /// SIGSTOP, and SIGCONT after a while in which its leases may run out.
    Freeze(Duration),
    /// The next answers of a provider are spoilt.
    Faults(Provider, Vec<Fault>),
    /// Answers of a provider are spoilt by chance.
    Chance(Provider, u32),
    /// New rows.
    Insert(Provider, u32),
    /// Rows change.
    Touch(Provider, u32),
    /// Rows come and change after each page.
    Moves(Provider, BetweenPages),
    /// Connections to the database break, each with this chance in percent.
    Cut(u32),
    /// The database refuses connections.
    Closed(Duration),
    /// The database is read-only, as after a failover.
    ReadOnly(Duration),
    /// Another session holds a lock on an account's row.
    Locked(Duration),
    /// An operator has the days from so many days ago read again.
    Resync { days_ago: i64, days: i64 },
    /// An operator stops an account and starts it again.
    Pause(Duration),
}

/// Whether a place is passed while pages are read: there a panic is one task's.
fn is_often(place: &str) -> bool {
    ["page.", "open.", "window."]
        .iter()
        .any(|start| place.starts_with(start))
}

fn millis(random: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

impl Schedule {
    /// The schedule of a seed; `places` are those where the program may die.
    pub(super) fn draw(seed: u64, places: &[String]) -> Self {
        // Neighbouring seeds must have nothing in common.
        let mut random = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut chosen = providers();
        random.shuffle(&mut chosen);
        chosen.truncate(random.usize(1..=3));
        let days = random.u32(1..6);
        let mut settings = history(random.u64(80..500), days);
        settings.seed = random.u64(..);
        settings.burst = *random.choice(&[0, 0, 20, 40]).unwrap();
        settings.latency = millis(&mut random, 0..8);
        settings.page_cap = random.bool().then(|| random.u32(16..60));
        settings.dwh_date_to_inclusive = random.bool();
        settings.dwh_without_uids = random.u32(0..4) == 0;
        settings.dwh_test_adds = random.bool();
        settings.ecommpay_lexical = random.bool();
        settings.firekassa_sign_token = random.bool().then(|| "sign-token".to_owned());
        if random.bool() {
            settings.firekassa_created_filter = "created_at".to_owned();
        }
        let mut page_size = random.u32(16..60);
        if settings.dwh_without_uids {
            // A page must hold more rows than share one time, and so many change at once here.
            (settings.burst, settings.page_cap, page_size) = (0, None, 60);
        }
        let account = format!(
            "page_size = {page_size}\nlag = \"0s\"\noverlap = \"{}s\"\nconcurrency = {}\npoll_interval = \"{}ms\"\ntimeout = \"1s\"\n",
            random.u32(5..60),
            random.u32(1..5),
            random.u32(200..2_000),
        );
        let mut schedule = Self {
            seed,
            providers: chosen,
            settings,
            account,
            lease_ttl_ms: random.u64(400..2_000),
            life_ms: random.u64(20..150),
            acts: Vec::new(),
        };
        for _ in 0..random.u32(10..25) {
            let act = schedule.act(&mut random, places);
            // A program must have begun before something can happen to it.
            let least = if matches!(act, Act::Start { .. }) {
                150
            } else {
                0
            };
            let pause = millis(&mut random, least..400);
            schedule.acts.push((act, pause));
        }
        // Nothing happens to a program that was never started.
        schedule.acts.insert(
            0,
            (
                Self::start(&mut random, places),
                millis(&mut random, 100..700),
            ),
        );
        schedule
    }

    /// The schedule, a line for each act.
    pub(super) fn describe(&self) -> String {
        let acts = self.acts.iter().map(|act| format!("  {act:?}\n"));
        format!(
            "{:?} {:?} {:?} life {} ms, lease {} ms\n{}",
            self.providers,
            self.settings,
            self.account,
            self.life_ms,
            self.lease_ttl_ms,
            acts.collect::<String>()
        )
    }

    fn start(random: &mut Rng, places: &[String]) -> Act {
        // Most of the places are on the way of every page.
        let often: Vec<&String> = places.iter().filter(|place| is_often(place)).collect();
        let place = if random.u32(0..3) == 0 {
            random.choice(places).unwrap()
        } else {
            random.choice(often).unwrap()
        };
        let after = random.u32(0..8);
        let places = match random.u32(0..10) {
            0..5 => format!("{place}={after}*off->return"),
            5 => format!("{place}=10%return"),
            6 => format!("{place}=20%sleep({})", random.u32(5..1_500)),
            // Elsewhere a panic is no task's, but the whole process's.
            7 if is_often(place) => {
                format!("{place}={after}*off->1*panic")
            }
            _ => String::new(),
        };
        let command = if random.bool() { "sync" } else { "run" };
        Act::Start { command, places }
    }

    fn act(&self, random: &mut Rng, places: &[String]) -> Act {
        let provider = *random.choice(&self.providers).unwrap();
        match random.u32(0..100) {
            0..24 => Self::start(random, places),
            24..30 => Act::Shifted {
                by: TimeDelta::seconds(random.i64(-4_000..4_000)),
                daemon: random.bool(),
                lives: millis(random, 50..900),
            },
            30..42 => Act::Kill,
            42..46 => Act::Terminate,
            46..52 => Act::Freeze(millis(random, 100..self.lease_ttl_ms * 2)),
            52..62 => {
                let faults = (0..random.u32(1..6)).map(|_| fault(random)).collect();
                Act::Faults(provider, faults)
            }
            62..66 => Act::Chance(provider, *random.choice(&[0, 50, 200, 500]).unwrap()),
            66..70 => Act::Insert(provider, random.u32(1..25)),
            70..75 => Act::Touch(provider, random.u32(1..25)),
            75..80 => Act::Moves(
                provider,
                BetweenPages {
                    insert: random.u32(0..3),
                    update: random.u32(0..6),
                },
            ),
            80..85 => Act::Cut(*random.choice(&[30, 100]).unwrap()),
            85..87 => Act::Closed(millis(random, 50..700)),
            87..89 => Act::ReadOnly(millis(random, 50..700)),
            89..93 => Act::Locked(millis(random, 50..1_500)),
            93..97 => Act::Resync {
                days_ago: random.i64(0..6),
                days: random.i64(1..4),
            },
            _ => Act::Pause(millis(random, 50..400)),
        }
    }
}

/// Every kind of fault there is.
fn fault(random: &mut Rng) -> Fault {
    match random.u32(0..16) {
        0 => Fault::Status(*random.choice(&[500, 502, 503, 504, 408]).unwrap()),
        1..4 => Fault::Status(*random.choice(&[400, 401, 403, 404, 422]).unwrap()),
        4 => Fault::Html,
        5 => Fault::Timeout,
        6 | 7 => Fault::Truncated,
        8 => Fault::RateLimited(Some("1".to_owned())),
        9 => Fault::RateLimited(None),
        10 | 11 => Fault::Reset,
        12 => Fault::WrongJson,
        13 => Fault::Body("null".to_owned()),
        14 => Fault::Body(String::new()),
        _ => Fault::Body("{\"".to_owned()),
    }
}
