//! Failures at the provider: those that pass cost only time; those that need an operator are reported in one line
//! with a hint.

mod bad_responses;
mod connections;
mod rate_limits;
mod suspension;
mod unreadable_days;

use std::time::Duration;

use paysync::engine::Engine;
use paysync::engine::inspect::status::{self, State};
use paysync_simulator::Provider;

use crate::support::in_time;

const PROVIDER: Provider = Provider::Convergegate;

/// What an operator sees of an account.
#[derive(Debug)]
struct Seen {
    state: State,
    error: String,
    hint: String,
}

fn is_ok(seen: &Seen) -> bool {
    seen.state == State::Ok
}

/// Looks at an account until it is seen so.
async fn until_seen(engine: &Engine, id: &str, so: impl Fn(&Seen) -> bool) -> Seen {
    let looking = async {
        loop {
            let status = status::load(&engine.store, &engine.accounts).await.unwrap();
            let mut accounts = status.accounts.into_iter();
            if let Some(account) = accounts.find(|account| account.id == id) {
                let error = account.streams.iter().find_map(|s| s.last_error.clone());
                let seen = Seen {
                    state: account.state,
                    error: error.unwrap_or_default(),
                    hint: account.hint.unwrap_or_default(),
                };
                if so(&seen) {
                    return seen;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(id, looking).await
}
