//! Date and machine of the measurement.

use chrono::Utc;

/// A paragraph about date, machine and PostgreSQL version.
pub fn describe(postgres: &str) -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = value(&info, "model name");
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let kib: f64 = memory
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or_default();
    format!(
        "{}, {cores} cores ({model}), {:.0} GB of memory, PostgreSQL {postgres}; client, server and provider on this one \
         machine, whose load was {load} before.",
        Utc::now().format("%-d %B %Y"),
        kib / 1024.0 / 1024.0,
    )
}

fn value(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}
