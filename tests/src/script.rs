//! A program that a test starts and listens to, line by line. What it is told goes to its standard input; it has a time
//! limit, and ends when this is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver as Lines, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a test waits for one line, or for what should happen soon: webrtcbin takes seconds of a busy core to draw
/// its RSA key.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Folder of this package.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// A child whose lines are read by a thread; it ends when this is dropped.
pub struct Script {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<String>,
    errors: Arc<Mutex<String>>,
}

impl Script {
    /// Starts a program, for four minutes at most.
    ///
    /// # Panics
    /// If `timeout` is not there.
    #[must_use]
    pub fn start(program: &str, arguments: &[String]) -> Self {
        let mut process = Command::new("timeout")
            .args(["-k", "2", "240", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let stdout = process.stdout.take().expect("piped");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let (mut stderr, kept) = (process.stderr.take().expect("piped"), Arc::clone(&errors));
        thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        let stdin = process.stdin.take();
        Self { process, stdin, lines, errors }
    }

    /// Starts a script of this package with the system's Python, which has GStreamer's bindings.
    #[must_use]
    pub fn python(script: &str, arguments: &[String]) -> Self {
        Self::run("/usr/bin/python3", script, arguments)
    }

    /// Starts a script of this package with the Python that has `tests/clients/requirements.txt`.
    ///
    /// # Panics
    /// If it has not been installed.
    #[must_use]
    pub fn client(script: &str, arguments: &[String]) -> Self {
        let python = Path::new(PACKAGE).parent().expect("in the workspace").join("target/clients/bin/python");
        assert!(python.exists(), "{} is missing: tests/run setup makes it", python.display());
        Self::run(&python.display().to_string(), script, arguments)
    }

    fn run(python: &str, script: &str, arguments: &[String]) -> Self {
        let arguments: Vec<String> = [format!("{PACKAGE}/{script}")].iter().chain(arguments).cloned().collect();
        Self::start(python, &arguments)
    }

    /// Its next line.
    ///
    /// # Panics
    /// If none comes within a minute.
    #[must_use]
    pub fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| panic!("the script says nothing more: {}", self.errors()))
    }

    /// The lines that have come since the last was asked for.
    #[must_use]
    pub fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// What it has written to its standard error.
    #[must_use]
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells it a line.
    ///
    /// # Panics
    /// If it has ended.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("until drop"), "{line}").expect("the script reads");
    }

    /// Ends its input: most scripts take that as the word to end in order.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // `timeout` passes it on, and kills what does not heed it; killed itself, it would leave an orphan.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
