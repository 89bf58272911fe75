//! The tests that see the crate from outside, as one program.

// The attribute tells clippy that everything inside is a test.
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod database;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod pooler;
#[cfg(test)]
mod port;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod privileges;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod store;
#[cfg(test)]
mod structure;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod views;
#[cfg(test)]
mod zones;
