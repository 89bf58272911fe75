//! Measured processes: CPU and memory, from `/proc`.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Unit of CPU times in `/proc`, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);
/// Time between two samples of a running process.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// The resources that a process used until it ended.
pub struct Ended {
    pub status: ExitStatus,
    pub wall: Duration,
    pub cpu: Duration,
    pub peak_kib: u64,
}

/// Waits until a process ends. A zombie keeps its counters until it is waited for.
pub fn measure(mut child: Child, since: Instant) -> Ended {
    let id = child.id();
    let mut peak_kib = 0;
    loop {
        peak_kib = peak(id).unwrap_or(0).max(peak_kib);
        if stat(id).is_none_or(|stat| stat.state == "Z") {
            break;
        }
        std::thread::sleep(SAMPLE_INTERVAL);
    }
    let wall = since.elapsed();
    let cpu = stat(id).map_or(Duration::ZERO, |stat| stat.own);
    let status = child.wait().unwrap();
    Ended {
        status,
        wall,
        cpu,
        peak_kib,
    }
}

/// CPU time of a process, without its children.
pub fn cpu(id: u32) -> Duration {
    stat(id).map_or(Duration::ZERO, |stat| stat.own)
}

/// CPU time of a process, its children, and its ended children.
pub fn cpu_of_family(id: u32) -> Duration {
    loop {
        let before = stat(id).unwrap();
        let children = cpu_of_children(id);
        // A child that was waited for in between would be counted twice or not at all.
        let after = stat(id).unwrap();
        if before.ended == after.ended {
            return after.own + after.ended + children;
        }
    }
}

fn cpu_of_children(parent: u32) -> Duration {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = ids.filter_map(stat).filter(|child| child.parent == parent);
    children.map(|child| child.own + child.ended).sum()
}

/// Peak resident memory of a living process, KiB.
pub fn peak(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

struct Stat {
    state: String,
    parent: u32,
    own: Duration,
    /// CPU time of children that were waited for.
    ended: Duration,
}

fn stat(id: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may contain any character; it ends at the last parenthesis.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        parent: ticks(1)?,
        own: TICK * (ticks(11)? + ticks(12)?),
        ended: TICK * (ticks(13)? + ticks(14)?),
    })
}

/// The measured program, without the environment variables that change its behaviour.
pub fn paysync(program: &Path, config: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name == "DATABASE_URL" || name.starts_with("PAYSYNC__") || name == "FAILPOINTS" {
            command.env_remove(name);
        }
    }
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// `paysync run` as a process of its own.
pub struct Daemon(Child);

impl Daemon {
    pub fn start(program: &Path, config: &Path) -> Self {
        let mut command = paysync(program, Some(config));
        command.arg("run").stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Ends it as an operator does.
    pub fn end(mut self) {
        let id = self.id().to_string();
        let killed = Command::new("kill").arg(id).status().unwrap();
        assert!(killed.success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
