//! A running corecast for tests: the real binary, on ports of its own, and a plain HTTP client for its API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The corecast binary: `CORECAST_BIN`, or the release build beside this test's target directory.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().ok()?;
        test.ancestors().nth(3).map(|target| target.join("release").join("corecast"))
    };
    let path = std::env::var_os("CORECAST_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default();
    assert!(path.exists(), "{} is not there: run `cargo build --release` first", path.display());
    path
}

/// A server that is stopped when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    /// Where its API listens.
    pub http: SocketAddr,
}

/// Status and body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Text of the body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none, or the status is not one of success.
    #[must_use]
    pub fn json(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Server {
    /// Starts the server with further arguments and waits until it answers.
    ///
    /// # Panics
    /// If it does not within ten seconds.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let process = Command::new(binary())
            .args(["--http-listen", &free.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .stdout(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let server = Self { process, http: free };
        let begun = Instant::now();
        while server.try_request("GET", "/health", None).is_none_or(|answer| answer.status != 200) {
            assert!(begun.elapsed() < Duration::from_secs(10), "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Process id of the supervisor.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// One request; `None` if the connection fails or breaks.
    #[must_use]
    pub fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.http,
            body.len(),
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, body: body.to_owned() })
    }

    /// One request that must be answered.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_request(method, path, body).unwrap_or_else(|| panic!("{method} {path} is not answered"))
    }

    /// A POST that must succeed, and its answer.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.request("POST", path, Some(body)).json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).unwrap_or(0);
        // Asked first, so that it ends its own children.
        let _ = Command::new("kill").arg(pid.to_string()).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
