//! Memory and CPU time of this process, on Linux; other systems have no such metrics.

use metrics::{counter, gauge};

use crate::telemetry::{PROCESS_CPU_SECONDS, PROCESS_RESIDENT_BYTES};

/// Clock ticks per second in `/proc`, the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Sets the process's metrics.
pub(super) fn measure() {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    if let Some(bytes) = resident_bytes(&read("/proc/self/status")) {
        #[allow(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "gauges are floats, which are exact up to eight petabytes"
        )]
        gauge!(PROCESS_RESIDENT_BYTES).set(bytes as f64);
    }
    if let Some(ticks) = cpu_ticks(&read("/proc/self/stat")) {
        counter!(PROCESS_CPU_SECONDS).absolute(ticks / TICKS_PER_SECOND);
    }
}

/// `VmRSS:     12345 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// User and system time: the 14th and 15th field. The 2nd is the program's name in parentheses, which may
/// contain spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let status = "Name:\tpaysync\nVmHWM:\t   20000 kB\nVmRSS:\t   12345 kB\n";
        assert_eq!(resident_bytes(status), Some(12_641_280));
        let stat = "7 (pay sync) S) S 1 7 7 0 -1 4194560 200 0 0 0 150 25 0 0 20 0 3 0 99";
        assert_eq!(cpu_ticks(stat), Some(175));
        assert_eq!((resident_bytes(""), cpu_ticks("")), (None, None));
    }
}
