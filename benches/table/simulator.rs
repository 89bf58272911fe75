//! The provider under measure: `paysync simulate` as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process;

/// A running simulator.
pub struct Simulator {
    child: Child,
    address: String,
    /// What it prints of each provider: an `[[accounts]]` entry.
    accounts: Vec<String>,
}

impl Simulator {
    /// Starts one, and waits until it serves.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(["simulate", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut text = String::new();
        // The last account's options are the end of what it prints.
        while !text.contains("\"firekassa\"") || !text.ends_with("\n\n") {
            let Some(line) = lines.next() else { break };
            text.push_str(&line.unwrap());
            text.push('\n');
        }
        // Kept open: a line that nobody can read any more would end it.
        std::thread::spawn(move || lines.for_each(drop));
        let (_, rest) = text.split_once("http://").unwrap();
        let (address, _) = rest.split_once(';').unwrap();
        let accounts = text.split("\n[[accounts]]\n").skip(1);
        Self {
            child,
            address: address.to_owned(),
            accounts: accounts.map(|account| account.trim().to_owned()).collect(),
        }
    }

    pub fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    pub fn resident_kib(&self) -> u64 {
        process::resident(self.child.id()).unwrap_or(0)
    }

    /// The account of a provider, with further settings.
    pub fn account(&self, provider: &str, settings: &str) -> String {
        let line = format!("provider = \"{provider}\"\n");
        let found = self.accounts.iter().find(|account| account.contains(&line));
        format!("\n[[accounts]]\n{}\n{settings}\n", found.unwrap())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/_simulator/{path}", self.address)
    }
}

/// A configuration of paysync that logs nothing and listens nowhere.
pub fn configuration(
    directory: &Path,
    name: &str,
    url: &str,
    accounts: &str,
) -> std::path::PathBuf {
    let path = directory.join(format!("{name}.toml"));
    let text = format!(
        "[database]\nurl = \"{url}\"\n\n[http]\nlisten = \"off\"\n\n[log]\nfilter = \"warn\"\n{accounts}"
    );
    std::fs::write(&path, text).unwrap();
    path
}
