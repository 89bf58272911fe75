//! The state that requests, the background task and the handle share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, lock};
use crate::provider_state::ProviderState;
use crate::settings::{Provider, Settings};
use crate::traffic::Traffic;

#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<Clock>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) stop: CancellationToken,
    providers: BTreeMap<Provider, Mutex<ProviderState>>,
}

impl Simulation {
    pub(crate) fn new(settings: Settings) -> Self {
        let providers = Provider::ALL.into_iter().map(|provider| {
            let state = ProviderState::new(provider, &settings);
            (provider, Mutex::new(state))
        });
        let providers = providers.collect();
        let clock = Arc::new(Clock::new(settings.now));
        Self {
            traffic: Arc::new(Traffic::new(clock.clone())),
            clock,
            settings,
            stop: CancellationToken::new(),
            providers,
        }
    }

    /// Calls `act` with a provider's locked state and the time in microseconds.
    pub(crate) fn with<T: Default>(
        &self,
        provider: Provider,
        act: impl FnOnce(&mut ProviderState, i64) -> T,
    ) -> T {
        let Some(state) = self.providers.get(&provider) else {
            return T::default();
        };
        let mut state = lock(state);
        // Read under the lock, so that actions happen in the order of their times.
        let now = self.clock.now().timestamp_micros();
        act(&mut state, now)
    }

    /// Inserts and changes rows at the configured rates until the simulator stops.
    pub(crate) async fn run_merchants(&self) {
        let (rate, churn) = (self.settings.rate, self.settings.churn);
        if rate == 0 && churn == 0 {
            return;
        }
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        // Credits are 600ths of an action, so that both rates are exact.
        let (mut inserts, mut updates) = (0_u32, 0_u32);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            inserts = inserts.saturating_add(rate.saturating_mul(60));
            updates = updates.saturating_add(churn);
            for provider in Provider::ALL {
                self.with(provider, |state, now| {
                    state.insert(inserts / 600, now);
                    state.touch(updates / 600, now);
                });
            }
            inserts %= 600;
            updates %= 600;
        }
    }
}
