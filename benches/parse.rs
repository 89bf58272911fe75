//! The cost of reading a page before it is stored: per provider, in items and bytes per second.
//!
//! `cargo bench --bench parse`; a filter such as `-- begateway_dwh` or `-- all` chooses. The pages of up to 1000 rows come
//! from the simulated providers and are fetched once. `all` is all that the engine does with a response, except checking a
//! signature, which is `verify`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput};
use paysync::app::App;
use paysync::config::Config;
use paysync::engine::Account;
use paysync_provider::model::{Transaction, Window};
use paysync_provider::redact::redact;
use paysync_provider::{Auth, Credential, Position, Provider, Redaction, Response};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

/// Rows of the day that a page comes from; a page has up to 1000 of them.
const ROWS: u64 = 10_000;

/// A response of a provider, and what is needed to read it.
struct Sample {
    account: Arc<Account>,
    stream: String,
    window: Window,
    response: Response,
    credential: Credential,
}

impl Sample {
    fn position(&self) -> Position<'_> {
        Position {
            stream: &self.stream,
            window: self.window,
            checkpoint: None,
            page_size: self.account.spec.max_page_size.min(1000),
        }
    }

    fn items(&self) -> Vec<&RawValue> {
        let page = self.account.provider.page(&self.position(), &self.response);
        page.unwrap().items
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for sample in samples() {
        measure(&mut criterion, &sample);
    }
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, sample: &Sample) {
    let account = &sample.account;
    let (provider, rules) = (&*account.provider, &account.spec.redaction);
    let items = sample.items();
    let mut group = criterion.benchmark_group(account.spec.code);
    group.throughput(Throughput::ElementsAndBytes {
        elements: count(items.len()),
        bytes: count(sample.response.body.len()),
    });
    group.bench_function("page", |bencher| bencher.iter(|| sample.items()));
    if account.spec.auth == Auth::Signed {
        group.bench_function("verify", |bencher| {
            bencher.iter(|| {
                provider
                    .verify(&sample.credential, &sample.response)
                    .unwrap()
            });
        });
    }
    group.bench_function("redact", |bencher| {
        bencher.iter(|| {
            for item in &items {
                black_box(redact(item.get(), rules));
            }
        });
    });
    group.bench_function("hash", |bencher| {
        bencher.iter(|| {
            for item in &items {
                black_box(xxh3_128(item.get().as_bytes()));
            }
        });
    });
    group.bench_function("normalize", |bencher| {
        bencher.iter(|| {
            for item in &items {
                black_box(provider.normalize(item.get()).unwrap());
            }
        });
    });
    group.bench_function("all", |bencher| {
        bencher.iter(|| read(provider, rules, &sample.items()));
    });
    group.finish();
}

/// Reads the items of a page as the engine does.
fn read(
    provider: &dyn Provider,
    rules: &Redaction,
    items: &[&RawValue],
) -> Vec<(u128, Transaction)> {
    let read = items.iter().map(|item| {
        let redacted = redact(item.get(), rules).text;
        let hash = xxh3_128(redacted.as_bytes());
        (hash, provider.normalize(&redacted).unwrap())
    });
    read.collect()
}

/// One page of every provider.
fn samples() -> Vec<Sample> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let settings = paysync_simulator::Settings {
            rows: ROWS,
            now: Some(now),
            ..paysync_simulator::Settings::new(now, 1)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = paysync_simulator::start(settings, listener).await.unwrap();
        let config = simulator.config_toml("postgres://localhost/unused");
        let config = Config::of_text(&config, &BTreeMap::new()).unwrap();
        let app = App::new(&config, &[]).unwrap();
        let window = Window::new(now - TimeDelta::days(1), now).unwrap();
        let mut samples = Vec::new();
        for (account, settings) in app.engine.accounts.iter().zip(&config.accounts) {
            let mut sample = Sample {
                account: account.clone(),
                stream: account.streams[0].spec.name.clone(),
                window,
                response: Response {
                    status: 0,
                    content_type: String::new(),
                    body: String::new(),
                    lossy: false,
                },
                credential: settings.credentials.clone(),
            };
            let provider = &*account.provider;
            let request = provider.request(&sample.position()).unwrap();
            let answer = account.client.send(provider, request, now).await;
            sample.response = answer.unwrap().response;
            assert_eq!(sample.response.status, 200);
            assert!(sample.items().len() >= 100);
            samples.push(sample);
        }
        simulator.stop().await;
        samples
    })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}
