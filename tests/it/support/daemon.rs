//! The built program: a command to its end; a daemon with its log, its signals, its end.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::support::{TIMEOUT, file_of, in_time};

/// A `paysync run` at work.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    reading: JoinHandle<()>,
    _configuration: NamedTempFile,
}

impl Daemon {
    /// Starts the daemon with a configuration.
    pub(crate) fn start(text: &str) -> Self {
        let configuration = file_of(text);
        let mut child = Command::new(env!("CARGO_BIN_EXE_paysync"))
            .arg("run")
            .arg("--config")
            .arg(configuration.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let seen = log.clone();
        let reading = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                seen.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            log,
            reading,
            _configuration: configuration,
        }
    }

    /// The lines so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line that has all these texts in it.
    pub(crate) async fn says(&self, texts: &[&str]) -> Value {
        let listening = async {
            loop {
                let found = self.log().into_iter().find(|line| {
                    let line = line.to_string();
                    texts.iter().all(|text| line.contains(text))
                });
                if let Some(line) = found {
                    return line;
                }
                assert!(!self.reading.is_finished(), "it ended: {:#?}", self.log());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let line = tokio::time::timeout(TIMEOUT, listening).await;
        line.unwrap_or_else(|_| panic!("no {texts:?} in {:#?}", self.log()))
    }

    /// Sends a signal, by the name that `kill` knows.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it is still running");
        // The shell's own: a small system has no program of this name.
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end: the exit code and the whole log.
    pub(crate) async fn end(mut self) -> (Option<i32>, Vec<Value>) {
        let status = in_time("the end", self.child.wait()).await.unwrap();
        in_time("the log", self.reading).await.unwrap();
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        (status.code(), log)
    }

    /// Asks it to stop, which it does in good order.
    pub(crate) async fn stop(self) -> Vec<Value> {
        self.signal("TERM");
        let (code, log) = self.end().await;
        assert_eq!(code, Some(0), "{log:#?}");
        log
    }
}

/// Exit code, standard output and standard error of a command.
pub(crate) async fn paysync(text: &str, arguments: &[&str]) -> (i32, String, String) {
    let configuration = file_of(text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_paysync"));
    command
        .args(arguments)
        .arg("--config")
        .arg(configuration.path())
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = in_time("the program", command.output()).await.unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
