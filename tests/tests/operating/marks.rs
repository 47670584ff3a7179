//! Marks past which no new rooms are made, at a real load: a worker's core, and the memory of a control group.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use corecast_tests::server::{Server, binary, wait_for};
use reqwest::StatusCode;

use super::told::run;

/// A room that is asked for: the status, whether it is said when to try again, and the sentence.
async fn new_room(server: &Server, room: &str) -> (StatusCode, bool, String) {
    let body = r#"{"id":"b","displayName":"b","device":{"name":"test"}}"#;
    let url = format!("http://{}/rooms/{room}/broadcasters", server.address);
    let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
    let answer = request.send().await.expect("answers");
    let again = answer.headers().contains_key("retry-after");
    (answer.status(), again, answer.text().await.expect("text"))
}

/// Sends packets to a port as fast as it can until `until` is done.
fn flooded<T>(port: u16, until: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
            socket.connect(("127.0.0.1", port)).expect("loopback");
            while !is_over.load(Ordering::Relaxed) {
                let _ = socket.send(&[0x80; 200]);
            }
        });
        let done = until();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn past_the_mark_of_the_core_no_room_is_made_and_one_that_is_there_goes_on() {
    let server = Server::start(&["--workers", "1", "--limits-cpu-percent", "5", "--worker-heartbeat", "100ms"]);
    let port = server.work("there").expect("takes work");
    flooded(port, || {
        run(async {
            for number in 0.. {
                let (status, again, sentence) = new_room(&server, &format!("new-{number}")).await;
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    assert!(again && sentence.contains("limits.cpu_percent"), "{sentence}");
                    break;
                }
                assert_eq!(status, StatusCode::OK, "{sentence}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        let body = r#"{"id":"c","displayName":"c","device":{"name":"test"}}"#;
        assert!(server.json("POST", "/rooms/there/broadcasters", body).is_some(), "a room that is there grows");
    });
    wait_for("new rooms again", || server.work("after"));
    assert!(server.lines(&["died"]).is_empty());
}

/// A control group with a limit of memory; none where none can be made. It goes with the test.
struct Group {
    folder: PathBuf,
    limit: &'static str,
}

impl Group {
    fn make() -> Option<Self> {
        let name = format!("corecast-test-{}", std::process::id());
        let known = [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];
        known.into_iter().find_map(|(root, limit)| {
            let folder = PathBuf::from(root).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Self { folder, limit };
            group.folder.join(limit).exists().then_some(group)
        })
    }

    fn limit(&self, bytes: u64) {
        fs::write(self.folder.join(self.limit), bytes.to_string()).expect("is set");
    }

    /// Bytes that are in use and not only cached.
    fn used(&self) -> u64 {
        let number = |file: &str| fs::read_to_string(self.folder.join(file)).ok()?.trim().parse::<u64>().ok();
        let used = number("memory.current").or_else(|| number("memory.usage_in_bytes")).expect("is told");
        let stat = fs::read_to_string(self.folder.join("memory.stat")).expect("is told");
        let cached = stat.lines().find_map(|line| line.trim_start_matches("total_").strip_prefix("inactive_file "));
        used - cached.map_or(0, |bytes| bytes.parse().expect("a number"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails until the last of its processes is gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn past_the_mark_of_a_control_group_no_room_is_made() {
    let Some(group) = Group::make() else {
        println!("no control group can be made here: not tested");
        return;
    };
    let table = fs::read_to_string("/proc/meminfo").expect("is told");
    let kib = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name)).expect("is told");
        line.split_whitespace().next().expect("a number").parse::<u64>().expect("a number")
    };
    // Between what the machine has in use, which is not to be the reason, and everything.
    let machine = 100 - 100 * kib("MemAvailable:") / kib("MemTotal:");
    let mark = (machine + 100) / 2;
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$GROUP/cgroup.procs\" && exec \"$0\" \"$@\""]).arg(binary());
    command.env("GROUP", &group.folder);
    let server = Server::start_command(&mut command, &["--workers", "1", "--limits-memory-percent", &mark.to_string()]);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    assert!(server.work("there").is_some(), "without a limit");
    run(async {
        group.limit(group.used() * 200 / (mark + 100));
        let (status, again, sentence) = new_room(&server, "new").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{sentence}");
        assert!(again && sentence.contains("limits.memory_percent"), "{sentence}");
        group.limit(1 << 40);
        assert_eq!(new_room(&server, "new").await.0, StatusCode::OK);
    });
    drop(server);
}
