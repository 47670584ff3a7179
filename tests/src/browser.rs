//! Real browsers, by `tests/browser/driver.mjs`: one Node process that starts Chromium and Firefox, opens pages, calls
//! functions of `probe.js` in them and takes pictures. Everything asked of it has a time limit, and it ends on drop.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");
/// Time that one command may take. Firefox starts in 4 s on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(90);
/// Seconds for all commands together: a test that starts a driver and dies leaves no browser behind.
const WHOLE_LIFE: &str = "1200";

/// A browser that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Browser {
    /// Debian's Chromium.
    Chromium,
    /// Debian's Firefox ESR: no H.264.
    Firefox,
}

impl Browser {
    /// What the driver calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }
}

/// Its pipes: what is asked, and what is answered.
struct Pipes {
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    asked: u64,
}

/// A running driver with the browsers that it has started.
pub struct Driver {
    process: Child,
    pipes: Mutex<Pipes>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Driver {
    /// Starts it, without a browser yet.
    ///
    /// # Panics
    /// If Node or the packages of `tests/browser` are missing.
    #[must_use]
    pub fn start() -> Self {
        let packages = Path::new(DIRECTORY).join("node_modules/puppeteer-core");
        assert!(packages.exists(), "{} is missing: tests/run setup installs it", packages.display());
        let mut process = Command::new("timeout")
            .args(["-k", "5", WHOLE_LIFE, "node", "driver.mjs"])
            .current_dir(DIRECTORY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("timeout runs");
        let (send, answers) = channel();
        let stdout = process.stdout.take().expect("piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, kept) = (process.stderr.take().expect("piped"), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let stdin = process.stdin.take();
        Self { process, pipes: Mutex::new(Pipes { stdin, answers, asked: 0 }), log }
    }

    /// What pages and browsers have logged since the last time.
    #[must_use]
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks it for something.
    ///
    /// # Errors
    /// What it says went wrong, or that it does not answer.
    ///
    /// # Panics
    /// If it says what is not JSON.
    pub fn ask(&self, what: &str, mut with: Value) -> Result<Value, String> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.asked += 1;
        let id = pipes.asked;
        with["id"] = json!(id);
        with["do"] = json!(what);
        if pipes.stdin.as_mut().is_none_or(|stdin| writeln!(stdin, "{with}").is_err()) {
            return Err("the driver has ended".to_owned());
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = pipes.answers.recv_timeout(left) else {
                return Err(format!("the driver does not answer {with} within {PATIENCE:?}"));
            };
            let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if answer["id"] != json!(id) {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(format!("{what}: {}", error.as_str().unwrap_or_default())),
                None => Ok(answer["value"].clone()),
            };
        }
    }

    /// Starts a browser. Its version.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn launch(&self, browser: Browser, args: &[&str]) -> String {
        let started = self.ask("launch", json!({"browser": browser.name(), "args": args}));
        let started = started.unwrap_or_else(|error| panic!("{}: {error}", browser.name()));
        started["version"].as_str().unwrap_or_default().to_owned()
    }

    /// Ends a browser, and every page of it.
    ///
    /// # Panics
    /// If it is not there.
    pub fn quit(&self, browser: Browser) {
        self.ask("quit", json!({"browser": browser.name()})).expect("it was launched");
    }

    /// Opens a page; `wishes` are those of `probe.js`.
    ///
    /// # Panics
    /// If the page cannot be loaded.
    #[must_use]
    pub fn open(&self, name: &str, browser: Browser, url: &str, wishes: &Value) -> Page<'_> {
        let asked = json!({"page": name, "browser": browser.name(), "url": url, "wishes": wishes});
        self.ask("open", asked).unwrap_or_else(|error| panic!("{url} in {}: {error}", browser.name()));
        Page { driver: self, name: name.to_owned(), browser }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // At the end of its input it closes its browsers; `timeout` passes a signal on if that takes too long.
        self.pipes.get_mut().unwrap_or_else(PoisonError::into_inner).stdin = None;
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// A page in a window of its own. Closed on drop.
pub struct Page<'a> {
    driver: &'a Driver,
    name: String,
    /// What shows it.
    pub browser: Browser,
}

impl Page<'_> {
    /// What it is called in logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls a function of `window.probe`.
    ///
    /// # Errors
    /// What it throws, which it also does while the page is being reloaded.
    pub fn call(&self, function: &str, args: &Value) -> Result<Value, String> {
        self.driver.ask("call", json!({"page": self.name, "name": function, "args": args}))
    }

    /// What the page shows of itself (`probe.look`).
    ///
    /// # Errors
    /// If the page is not there, or just being reloaded.
    pub fn look(&self) -> Result<Value, String> {
        self.call("look", &json!([]))
    }

    /// Loads it again, as a person does.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub fn reload(&self) {
        self.driver.ask("reload", json!({"page": self.name})).expect("the page loads again");
    }

    /// Gives its window another size.
    ///
    /// # Panics
    /// If it cannot be given.
    pub fn resize(&self, width: u32, height: u32) {
        let asked = json!({"page": self.name, "width": width, "height": height});
        self.driver.ask("resize", asked).expect("another size");
    }

    /// Has its window ask for dark colours, or for light ones. Chromium alone can.
    ///
    /// # Panics
    /// If it cannot.
    pub fn scheme(&self, dark: bool) {
        self.driver.ask("scheme", json!({"page": self.name, "dark": dark})).expect("other colours");
    }

    /// What keeps people from using it, as axe-core finds: findings that are serious or worse.
    ///
    /// # Panics
    /// If it cannot be looked at.
    #[must_use]
    pub fn barriers(&self) -> Vec<Value> {
        let found = self.driver.ask("axe", json!({"page": self.name})).expect("axe-core runs");
        found.as_array().cloned().unwrap_or_default()
    }

    /// Takes a picture of it at this size.
    ///
    /// # Panics
    /// If it cannot be taken or written.
    pub fn screenshot(&self, path: &Path, width: u32, height: u32) {
        let asked = json!({"page": self.name, "path": path, "width": width, "height": height});
        self.driver.ask("screenshot", asked).expect("a picture of the page");
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let _ = self.driver.ask("close", json!({"page": self.name}));
    }
}
