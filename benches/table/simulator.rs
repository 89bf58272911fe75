//! The provider of the measurement: `paysync simulate` as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process;

/// The codes of the simulated providers.
pub const PROVIDERS: [&str; 5] = [
    "begateway_dwh",
    "begateway_report",
    "convergegate",
    "ecommpay",
    "firekassa",
];

/// A running simulator.
pub struct Simulator {
    child: Child,
    address: String,
    /// The `[[accounts]]` entries that it prints, one per provider.
    accounts: Vec<String>,
}

impl Simulator {
    /// Starts a simulator and waits until it serves.
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
        // The output ends with the options of the last account.
        while !text.contains("\"firekassa\"") || !text.ends_with("\n\n") {
            let Some(line) = lines.next() else { break };
            text.push_str(&line.unwrap());
            text.push('\n');
        }
        // The pipe must stay open: writing to a closed one would end the simulator.
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

    pub fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    /// The account of a provider, with further settings.
    pub fn account(&self, provider: &str, settings: &str) -> String {
        let line = format!("provider = \"{provider}\"\n");
        let found = self.accounts.iter().find(|account| account.contains(&line));
        format!("\n[[accounts]]\n{}\n{settings}\n", found.unwrap())
    }

    /// Requests to all providers so far.
    pub fn requests(&self) -> u64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET /_simulator/requests HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let counts: serde_json::Value = serde_json::from_str(body).unwrap();
        let providers = counts.as_object().unwrap().values();
        providers
            .map(|counts| counts["requests"].as_u64().unwrap())
            .sum()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes a configuration with default settings, except for the address to listen on.
pub fn configuration(
    directory: &Path,
    name: &str,
    url: &str,
    accounts: &str,
) -> std::path::PathBuf {
    let path = directory.join(format!("{name}.toml"));
    let text =
        format!("[database]\nurl = \"{url}\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n{accounts}");
    std::fs::write(&path, text).unwrap();
    path
}
