//! A corecast server under test: started from the built binary, asked over HTTP, watched from outside.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::described;

/// How long a test waits for what happens soon or never.
const PATIENCE: Duration = Duration::from_secs(20);
const PORTS: u16 = 100;
/// How many of them are WebRTC's, one per worker.
const WEBRTC_PORTS: u16 = 10;

/// The binary: `CORECAST_BIN`, or the dev build, whose assertions are on.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the workspace");
    let path = std::env::var_os("CORECAST_BIN").map_or_else(|| built.join("target/debug/corecast"), PathBuf::from);
    assert!(path.exists(), "{} is missing: build it (tests/run build) or set CORECAST_BIN", path.display());
    path
}

/// A running supervisor with everything below it. Ended on drop.
#[derive(Debug)]
pub struct Server {
    supervisor: Child,
    /// Where its HTTP API listens.
    pub address: SocketAddr,
    /// First and last of its media ports.
    pub ports: (u16, u16),
    /// Where the first worker's WebRTC clients come.
    pub webrtc_port: u16,
    log: Arc<Mutex<Vec<(Instant, String)>>>,
}

/// Runs `check` until it gives something.
///
/// # Panics
/// If it does not within 20 seconds.
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

impl Server {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(flags: &[&str]) -> Self {
        let server = Self::start_command(&mut Command::new(binary()), flags);
        wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
        server
    }

    /// Starts it by this command.
    ///
    /// # Panics
    /// If there is no such program, or no free port.
    pub fn start_command(command: &mut Command, flags: &[&str]) -> Self {
        Self::start_command_into(command, flags, Stdio::piped(), Stdio::piped())
    }

    /// Starts it by this command. Its lines are known where its output is piped.
    ///
    /// # Panics
    /// If there is no such program, or no free port.
    pub fn start_command_into(command: &mut Command, flags: &[&str], stdout: Stdio, stderr: Stdio) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, command, flags, (stdout, stderr))
    }

    /// Starts it by this command, with its API at this address of the machine that it is on.
    ///
    /// # Panics
    /// If there is no such program, or no free port.
    pub fn start_at(ip: Ipv4Addr, command: &mut Command, flags: &[&str], (stdout, stderr): (Stdio, Stdio)) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let min = 21_000 + NEXT.fetch_add(PORTS, Ordering::Relaxed);
        let ports = (min, min + PORTS - WEBRTC_PORTS - 2);
        let webrtc_port = ports.1 + 1;
        let address = SocketAddr::from((ip, min + PORTS - 1));
        let mut supervisor = command
            .args(["--http-listen", &address.to_string()])
            .args(["--rtc-port-range", &format!("{}-{}", ports.0, ports.1)])
            .args(["--rtc-webrtc-port", &webrtc_port.to_string()])
            .args(flags)
            .env("RUST_BACKTRACE", "0")
            // A server that is killed leaves its socket behind.
            .env("CORECAST_ADMIN_LISTEN", "off")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let stdout = supervisor.stdout.take().map(|stdout| Box::new(stdout) as Box<dyn Read + Send>);
        let stderr = supervisor.stderr.take().map(|stderr| Box::new(stderr) as Box<dyn Read + Send>);
        for output in stdout.into_iter().chain(stderr) {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    log.lock().expect("whole").push((Instant::now(), line));
                }
            });
        }
        Self { supervisor, address, ports, webrtc_port, log }
    }

    /// Lines so far, of standard output and error.
    ///
    /// # Panics
    /// If a reading thread has panicked.
    #[must_use]
    pub fn log(&self) -> Vec<(Instant, String)> {
        self.log.lock().expect("whole").clone()
    }

    /// Lines that have all of these parts.
    #[must_use]
    pub fn lines(&self, parts: &[&str]) -> Vec<(Instant, String)> {
        self.log().into_iter().filter(|(_, line)| parts.iter().all(|part| line.contains(part))).collect()
    }

    /// Status and body; none while no server answers.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        self.ask_with(method, path, "", body)
    }

    /// The same with further lines of the head, each with its line end.
    ///
    /// # Panics
    /// If the answer is not as docs/openapi-clients.json describes it.
    #[must_use]
    pub fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let headers = format!("Host: {}\r\n{headers}", self.address);
        let (status, head, answer) = exchange(stream, (method, path, &headers, body))?;
        let fault = described::fault_of_clients((method, path, body), (status, &head, &answer));
        assert_eq!(fault, None, "{method} {path} {body}: {status} {answer}");
        Some((status, answer))
    }

    /// Status and body of a GET.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask("GET", path, "")
    }

    /// A request that succeeds and answers with JSON; none if it does not.
    #[must_use]
    pub fn json(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let (status, body) = self.ask(method, path, body)?;
        if (200..300).contains(&status) { serde_json::from_str(&body).ok() } else { None }
    }

    /// A POST that must succeed and answer with JSON.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.ask("POST", path, &body.to_string());
        let Some((200..300, text)) = &answer else { panic!("POST {path} {body}: {answer:?}") };
        serde_json::from_str(text).unwrap_or_default()
    }

    /// New work: a room with a broadcaster and a transport. Its local port.
    #[must_use]
    pub fn work(&self, room: &str) -> Option<u16> {
        let broadcasters = format!("/rooms/{room}/broadcasters");
        self.json("POST", &broadcasters, r#"{"id":"b","displayName":"b","device":{"name":"test"}}"#)?;
        let made = self.json("POST", &format!("{broadcasters}/b/transports"), r#"{"type":"plain","rtcpMux":true}"#)?;
        u16::try_from(made["port"].as_u64()?).ok()
    }

    /// The answer to `/stats`.
    #[must_use]
    pub fn stats(&self) -> Value {
        wait_for("/stats", || self.json("GET", "/stats", ""))
    }

    /// Process of the server, not of its supervisor.
    ///
    /// # Panics
    /// If `/stats` does not say.
    #[must_use]
    pub fn pid(&self) -> u32 {
        u32::try_from(self.stats()["pid"].as_u64().expect("a pid")).expect("a pid")
    }

    /// Process of the supervisor.
    #[must_use]
    pub fn supervisor_pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// Sends it a signal by the name that kill(1) knows.
    pub fn signal_supervisor(&self, signal: &str) {
        kill(signal, self.supervisor.id());
    }

    /// Whether the supervisor has ended.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.supervisor.try_wait().expect("ours").is_some()
    }

    /// The exit code of the supervisor, once it has ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn exit_code(&mut self) -> Option<i32> {
        let supervisor = &mut self.supervisor;
        wait_for("the end of the supervisor", || supervisor.try_wait().expect("ours")).code()
    }

    /// UDP ports of its range that somebody has bound, in order.
    ///
    /// # Panics
    /// If the system does not say.
    #[must_use]
    pub fn bound_ports(&self) -> Vec<u16> {
        let table = fs::read_to_string("/proc/net/udp").expect("readable");
        let local = |line: &str| {
            let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
            u16::from_str_radix(port, 16).ok()
        };
        let ports = table.lines().skip(1).filter_map(local);
        let mut ports: Vec<_> = ports.filter(|port| (self.ports.0..=self.ports.1).contains(port)).collect();
        // The kernel tells them by hash.
        ports.sort_unstable();
        ports
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            for (_, line) in self.log() {
                eprintln!("    {line}");
            }
        }
        // What is below it goes with it: each has asked for a signal at its parent's death.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// Asks the API for operators on this socket: status and body; none while no server answers.
///
/// # Panics
/// If the answer is not as docs/openapi.json describes it.
#[must_use]
pub fn ask_operators(socket: &Path, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let (status, head, answer) = exchange(stream, (method, path, "Host: localhost\r\n", body))?;
    let fault = described::fault_of_operators((method, path, body), (status, &head, &answer));
    assert_eq!(fault, None, "{method} {path} {body}: {status} {answer}");
    Some((status, answer))
}

/// One request, of method, path, further lines of the head and body: status, head and body of the answer; none if it is
/// not whole, since the server died meanwhile.
fn exchange(
    mut stream: impl Read + Write,
    (method, path, headers, body): (&str, &str, &str, &str),
) -> Option<(u16, String, String)> {
    let head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
    let length = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| is_length(name));
    let is_whole = method == "HEAD" || length.is_none_or(|(_, length)| length.trim().parse() == Ok(body.len()));
    is_whole.then_some((head.split(' ').nth(1)?.parse().ok()?, head.to_owned(), body.to_owned()))
}

/// Sends a signal by the name that kill(1) knows.
///
/// # Panics
/// If there is no such process.
pub fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -{signal} {pid}");
}

/// The soft limit of open files of a running process.
///
/// # Panics
/// If the system refuses.
pub fn limit_files(pid: u32, files: u32) {
    let status = Command::new("prlimit").args([&format!("--pid={pid}"), &format!("--nofile={files}:")]).status();
    assert!(status.expect("prlimit runs").success());
}

/// Memory of a process that is in the machine's.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("is told");
    line.split_whitespace().next().expect("a number").parse::<u64>().expect("kB") << 10
}

/// Processes of a process group.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn group(pgid: u32) -> Vec<u32> {
    let field = |stat: &str| stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse::<u32>().ok();
    let processes = fs::read_dir("/proc").expect("readable").filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        field(&stat) == Some(pgid)
    })
    .collect()
}

/// User and system time of a thread, in nanoseconds, as the kernel tells it (in ticks of 10 ms).
///
/// # Panics
/// If there is no such thread.
#[must_use]
pub fn cpu_ns(pid: u32, tid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).expect("the thread lives");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("ticks");
    (ticks(11) + ticks(12)) * 10_000_000
}

/// The thread of that name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn thread_named(pid: u32, name: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("readable").filter_map(Result::ok);
    let mut named =
        tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    let task = named.next().unwrap_or_else(|| panic!("no thread {name}"));
    task.file_name().to_str().expect("a number").parse().expect("a number")
}
