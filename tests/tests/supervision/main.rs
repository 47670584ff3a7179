//! Workers that die, against the built binary: the whole server restarts, says why, leaves nothing behind but calls,
//! which go on, and takes new work. Also placement, the usage log and exit codes.

mod call;
mod hosts;
mod logs;
mod sandbox;
mod strangers;
mod trouble;

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use call::Call;
use corecast_tests::broadcaster::{Kind, Room};
use corecast_tests::server::{Server, binary, cpu_ns, group, kill, thread_named, wait_for};

/// Two ticks of the kernel's CPU accounting: one that it may be off by, one for the time between two looks.
const TICKS_NS: u64 = 20_000_000;

/// Rooms with a call, of all workers, while one of these dies.
const ROOMS: usize = 20;

const ISOLATIONS: [&str; 2] = ["thread", "process"];

fn workers(stats: &Value) -> &Vec<Value> {
    stats["workers"].as_array().expect("a list")
}

fn worker_pid(server: &Server, index: usize) -> u32 {
    u32::try_from(workers(&server.stats())[index]["pid"].as_u64().expect("a pid")).expect("a pid")
}

/// Lets one worker die and checks everything that is promised.
fn dies(isolation: &str, worker: usize, kill_it: impl FnOnce(&Server), cause: &[&str]) {
    let mut server = Server::start(&[
        "--isolation",
        isolation,
        "--test-hooks",
        "--worker-timeout",
        "1s",
        "--worker-heartbeat",
        "200ms",
    ]);
    let mut call = Call::begin(&server, "call");
    let mut ports = call.ports.clone();
    ports.push(server.work("before").expect("takes work"));
    ports.sort_unstable();
    assert_eq!(server.bound_ports(), ports);
    let old = server.pid();
    let killed_at = Instant::now();
    kill_it(&server);
    // The death, as the supervisor tells it: who, of what.
    let mut parts = vec!["died: ", "restarts now"];
    parts.extend(cause);
    if isolation == "process" || !cause.contains(&"SIGKILL") {
        parts.push(if worker == 0 { "worker 0 (core" } else { "worker 1 (core" });
    }
    let (told_at, _) = wait_for("the cause in the log", || server.lines(&parts).pop());
    let (port, accepted_at) = wait_for("new work", || {
        let made = (server.work("after")?, Instant::now());
        // In the moment before its end the dead server may still take work on another worker.
        (server.pid() != old).then_some(made)
    });
    let since = if cause.contains(&"stalled") { told_at } else { killed_at };
    // A second is promised, of a machine that has nothing else to do.
    println!("{:?} from the death, or from its declaration for a stall, to new work", accepted_at - since);
    assert!(group(old).is_empty(), "processes of the dead server are left: {:?}", group(old));
    ports.push(port);
    ports.sort_unstable();
    // What the dead server was just opening is closed a moment after the end of its process.
    wait_for("no other ports than before", || (server.bound_ports() == ports).then_some(()));
    call.goes_on();
    let peers = server.json("GET", "/rooms", "").expect("rooms").to_string();
    assert!(["call", "before"].iter().all(|room| peers.contains(room)), "{peers}");
    drop(call);
    assert_eq!(server.lines(&["died: "]).len(), 1, "one death, told once");
    server.signal_supervisor("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn calls_are_given_up_that_two_servers_die_of() {
    let server = Server::start(&[]);
    let port = server.work("before").expect("takes work");
    let die = || {
        let old = server.pid();
        kill("KILL", old);
        wait_for("a new server", || Some(server.json("GET", "/stats", "")?["pid"] != old).filter(|is_new| *is_new));
    };
    for _ in 0..2 {
        die();
        assert_eq!(server.bound_ports(), [port]);
    }
    die();
    assert_eq!(server.stats()["rooms"].as_array().map(Vec::len), Some(0));
    wait_for("ports to be free", || server.bound_ports().is_empty().then_some(()));
}

/// What two workers in a row have died of is not taken over; the rest is.
#[test]
fn poison_ends_its_own_call_and_no_other() {
    for isolation in ["thread", "process"] {
        let server = Server::start(&["--workers", "1", "--isolation", isolation, "--test-hooks", "true"]);
        let (poisonous, mut other) = (Call::begin(&server, "poisonous"), Call::begin(&server, "other"));
        for _ in 0..2 {
            let old = server.pid();
            poisonous.poison();
            wait_for("a new server", || Some(server.json("GET", "/stats", "")?["pid"] != old).filter(|is_new| *is_new));
            other.goes_on();
        }
        let left: Vec<_> = poisonous.ports.iter().map(|port| server.bound_ports().contains(port)).collect();
        assert_eq!(left, [false, false, true], "who sent it has no port any longer, who was to receive it has");
        assert_eq!(server.lines(&["is not taken over", "two workers died of what came of it"]).len(), 1);
        let old = server.pid();
        poisonous.poison();
        other.goes_on();
        assert_eq!(server.pid(), old, "nobody takes it");
        drop(poisonous);
        // Nor is anything learnt from that address for a while.
        let next = Room::open(&server, "next");
        let (_, [rtp, _]) = next.produce(&next.join("sends"), Kind::Opus);
        let newcomer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        wait_for("a refusal", || {
            newcomer.send_to(&call::packet(1), format!("127.0.0.1:{rtp}")).expect("loopback");
            server.get("/stats")?.1.contains("\"shut_out\":").then_some(())
        });
    }
}

/// One participant whose every packet kills, ten times a second (R4): for ten seconds, or as many of its packets as
/// `CORECAST_POISONS` says.
#[test]
fn poison_again_and_again_costs_two_deaths_and_the_others_next_to_nothing() {
    let server = Server::start(&["--workers", "1", "--isolation", "process", "--test-hooks", "true"]);
    let poisonous = Call::begin(&server, "poisonous");
    let mut others = Call::begin_in_rooms(&server, ROOMS);
    others.iter_mut().for_each(Call::forget);
    let poisons = std::env::var("CORECAST_POISONS").map_or(100, |text| text.parse().expect("a number"));
    for _ in 0..poisons {
        poisonous.poison();
        std::thread::sleep(Duration::from_millis(100));
        others.iter_mut().for_each(Call::take_all);
    }
    assert_eq!(server.lines(&["died: "]).len(), 2, "then nobody takes it");
    assert_eq!(server.lines(&["is not taken over", "two workers died of what came of it"]).len(), 1);
    let (lost, sent) = others.iter().map(Call::lost).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!("{lost} of {sent} packets of the others are lost");
    // A thousandth of what they send in a minute.
    assert!(sent > 0 && lost * 1_000 * poisons <= sent * 600, "{lost} of {sent} packets are lost");
    Call::all_go_on(&mut others);
}

#[test]
fn calls_end_with_the_server_if_they_are_not_to_be_kept() {
    let server = Server::start(&["--failover-calls", "drop"]);
    let port = server.work("before").expect("takes work");
    assert_eq!(server.bound_ports(), [port]);
    let old = server.pid();
    kill("KILL", old);
    wait_for("a new server", || Some(server.json("GET", "/stats", "")?["pid"] != old).filter(|is_new| *is_new));
    wait_for("ports of the dead server to be free", || server.bound_ports().is_empty().then_some(()));
    assert_eq!(server.stats()["rooms"].as_array().map(Vec::len), Some(0));
}

fn hook(server: &Server, worker: usize, hook: &str) {
    let answer = server.ask("POST", &format!("/test-hooks/worker/{worker}"), &format!(r#"{{"hook":"{hook}"}}"#));
    assert_eq!(answer.map(|(status, _)| status), Some(202));
}

/// The last of as many as there are, two at most.
fn last_worker() -> usize {
    std::thread::available_parallelism().map_or(0, |cores| usize::from(cores.get() > 1))
}

#[test]
fn a_panic_restarts_the_server() {
    for isolation in ISOLATIONS {
        let worker = last_worker();
        dies(isolation, worker, |server| hook(server, worker, "panic"), &["panic: ", ".rs:"]);
    }
}

#[test]
fn a_segfault_restarts_the_server() {
    for isolation in ISOLATIONS {
        dies(isolation, 0, |server| hook(server, 0, "segfault"), &["SIGSEGV", " at "]);
    }
}

#[test]
fn a_segfault_signal_restarts_the_server() {
    dies("process", 0, |server| kill("SEGV", worker_pid(server, 0)), &["SIGSEGV sent by pid"]);
}

#[test]
fn sigkill_restarts_the_server() {
    for isolation in ISOLATIONS {
        let worker = last_worker();
        dies(isolation, worker, |server| kill("KILL", worker_pid(server, worker)), &["SIGKILL"]);
    }
}

#[test]
fn an_abort_restarts_the_server() {
    let worker = last_worker();
    dies("process", worker, |server| kill("ABRT", worker_pid(server, worker)), &["SIGABRT sent by pid"]);
}

/// A way to die, and how it is brought about.
type Death = (&'static str, fn(&Server));

/// Each kind of death beside calls in twenty rooms, without a look at the clock.
#[test]
fn calls_in_twenty_rooms_outlive_each_kind_of_death() {
    let both: [Death; 4] = [
        ("panic", |server| hook(server, 0, "panic")),
        ("segfault", |server| hook(server, 0, "segfault")),
        ("SIGKILL of a worker", |server| kill("KILL", worker_pid(server, 0))),
        ("stall", |server| hook(server, 0, "stall")),
    ];
    let of_processes: [Death; 2] = [
        ("SIGABRT of a worker", |server| kill("ABRT", worker_pid(server, 0))),
        ("SIGKILL of the server alone", |server| kill("KILL", server.pid())),
    ];
    let workers = (1 + last_worker()).to_string();
    for isolation in ISOLATIONS {
        let deaths = both.iter().chain(of_processes.iter().filter(|_| isolation == "process"));
        for (what, kill_it) in deaths {
            let server = Server::start(&["--isolation", isolation, "--test-hooks", "--workers", &workers]);
            let mut calls = Call::begin_in_rooms(&server, ROOMS);
            let old = server.pid();
            kill_it(&server);
            wait_for(what, || Some(server.json("GET", "/stats", "")?["pid"] != old).filter(|is_new| *is_new));
            Call::all_go_on(&mut calls);
            let rooms = server.json("GET", "/rooms", "").expect("rooms")["rooms"].as_array().map(Vec::len);
            assert_eq!(rooms, Some(ROOMS), "{isolation}, {what}");
            assert!(group(old).is_empty(), "{isolation}, {what}: processes are left");
        }
    }
}

#[test]
fn a_stall_restarts_the_server() {
    for isolation in ISOLATIONS {
        let worker = last_worker();
        dies(isolation, worker, |server| hook(server, worker, "stall"), &["stalled", "no answer for 1.0 s"]);
    }
}

#[test]
fn a_stall_is_noticed_as_soon_as_the_settings_say() {
    let flags = ["--workers", "1", "--test-hooks", "--worker-timeout", "400ms", "--worker-heartbeat", "100ms"];
    let server = Server::start(&flags);
    hook(&server, 0, "stall");
    wait_for("the cause in the log", || server.lines(&["died: ", "stalled", "no answer for 0.4 s"]).pop());
    wait_for("a worker", || server.get("/health").filter(|(status, _)| *status == 200));
}

#[test]
fn a_stopped_worker_process_is_a_stall() {
    dies("process", 0, |server| kill("STOP", worker_pid(server, 0)), &["stalled"]);
}

#[test]
fn a_stopped_control_plane_is_a_death() {
    let server = Server::start(&["--worker-timeout", "4s", "--worker-heartbeat", "200ms", "--isolation", "process"]);
    let mut call = Call::begin(&server, "call");
    let old = server.pid();
    kill("STOP", old);
    // Workers need no control plane to forward.
    call.goes_on();
    assert!(server.lines(&["stalled"]).is_empty(), "it went on before anybody noticed");
    wait_for("the cause in the log", || server.lines(&["control", "stalled", "restarts now"]).pop());
    call.goes_on();
    wait_for("new work", || server.work("after"));
    assert_ne!(server.pid(), old);
    assert!(group(old).is_empty());
}

#[test]
fn nothing_outlives_the_supervisor() {
    for isolation in ISOLATIONS {
        let server = Server::start(&["--isolation", isolation]);
        let old = server.pid();
        assert!(!group(old).is_empty());
        server.signal_supervisor("KILL");
        wait_for("the end of everything", || group(old).is_empty().then_some(()));
        wait_for("free ports", || server.bound_ports().is_empty().then_some(()));
    }
}

#[test]
fn a_grace_delays_the_restart() {
    let server = Server::start(&["--test-hooks", "--failover-grace", "700ms"]);
    let old = server.pid();
    hook(&server, 0, "panic");
    let (told_at, _) = wait_for("the cause in the log", || server.lines(&["died: ", "restarts in 0."]).pop());
    wait_for("new work", || server.work("after"));
    // A grace is a least time, so this is no bet on the machine's speed.
    assert!(told_at.elapsed() > Duration::from_millis(300));
    assert_ne!(server.pid(), old);
}

#[test]
fn a_crash_loop_slows_down() {
    let server = Server::start(&["--test-hooks"]);
    let (mut ready, mut last) = (Vec::new(), 0);
    for death in 1..=5 {
        wait_for("a worker", || server.get("/health").filter(|(status, _)| *status == 200));
        ready.push(Instant::now());
        assert!(server.work(&format!("room-{death}")).is_some());
        last = server.pid();
        hook(&server, 0, "panic");
        wait_for("the death in the log", || (server.lines(&["died: "]).len() == death).then_some(()));
    }
    assert_eq!(server.lines(&["died: ", "restarts now"]).len(), 3);
    for wait in ["restarts in 1.0 s", "restarts in 2.0 s"] {
        assert_eq!(server.lines(&["died: ", wait]).len(), 1, "{wait}");
    }
    // A wait is a least time, so this is no bet on the machine's speed.
    assert!(ready[4] - ready[3] >= Duration::from_secs(1), "one start a second at most");
    assert_eq!(server.lines(&["WARN", "those are given up"]).len(), 1, "what three have died of is left behind");
    wait_for("another server", || Some(server.json("GET", "/stats", "")?["pid"] != last).filter(|is_new| *is_new));
    let rooms = server.json("GET", "/rooms", "").expect("rooms").to_string();
    assert!(rooms.contains("room-5") && !rooms.contains("room-3"), "{rooms}");
}

#[test]
fn rooms_go_to_workers_in_exact_turn() {
    for isolation in ISOLATIONS {
        let server = Server::start(&["--isolation", isolation]);
        let count = workers(&server.stats()).len();
        for room in 0..3 * count {
            // Twice: a room that is there takes no turn.
            for again in 0..2 {
                let path = format!("/rooms/room-{room:04}/broadcasters");
                let body = format!(r#"{{"id":"b{again}","displayName":"b","device":{{"name":"test"}}}}"#);
                assert!(server.json("POST", &path, &body).is_some());
            }
        }
        let stats = server.stats();
        let placed: Vec<_> =
            stats["rooms"].as_array().expect("a list").iter().map(|room| room["worker"].clone()).collect();
        let expected: Vec<_> = (0..3 * count).map(|room| Value::from(room % count)).collect();
        assert_eq!(placed, expected);
    }
}

#[test]
fn usage_agrees_with_the_kernel() {
    for isolation in ISOLATIONS {
        let server =
            Server::start(&["--isolation", isolation, "--usage-interval", "1s", "--worker-heartbeat", "100ms"]);
        let pid = worker_pid(&server, 0);
        let tid = if isolation == "thread" { thread_named(pid, "worker-0") } else { pid };
        let port = server.work("usage").expect("takes work");
        let sent = send_packets(port, 5_000);
        // What the worker said lies between what the kernel said before and after.
        let kernel_before = cpu_ns(pid, tid);
        let usage = wait_for("usage of every packet", || {
            let usage = workers(&server.stats())[0]["usage"].clone();
            let seen = usage["packetsReceived"].as_u64()? + usage["receiveOverflows"].as_u64()?;
            (seen >= sent).then_some(usage)
        });
        let told = usage["userNs"].as_u64().expect("user") + usage["systemNs"].as_u64().expect("system");
        let kernel_after = cpu_ns(pid, tid);
        assert!(told <= kernel_after + TICKS_NS, "{told} is more than {kernel_after}");
        assert!(told + TICKS_NS >= kernel_before, "{told} is less than {kernel_before}");
        assert_eq!(usage["discards"]["unknown_ssrc"], usage["packetsReceived"], "by name: {usage}");
        // The log: the same packets, spread over its lines.
        let lines = wait_for("the packets in the log", || {
            let lines = server.lines(&["usage worker=0 "]);
            let packets: u64 = lines.iter().map(|(_, line)| figure(line, "pps ", " packets")).sum();
            (lines.len() >= 3 && packets >= usage["packetsReceived"].as_u64()?).then_some(lines)
        });
        let discarded: u64 = lines.iter().map(|(_, line)| discards(line)).sum();
        assert_eq!(Some(discarded), usage["packetsReceived"].as_u64());
        for (_, line) in &lines {
            // The heartbeat that is nearest to a second. How late a busy machine may be is not asserted.
            let interval = line.split_once("interval=").and_then(|(_, rest)| rest.split_once('s')).expect("interval");
            assert!(interval.0.parse::<f64>().is_ok_and(|seconds| seconds >= 0.9), "{line}");
        }
    }
}

/// Sends RTP of an SSRC that no producer announced. Returns how many packets.
fn send_packets(port: u16, packets: u16) -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    socket.connect(("127.0.0.1", port)).expect("connects");
    let mut packet = [0_u8; 200];
    packet[0] = 0x80;
    packet[1] = 100;
    for sequence in 0..packets {
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        socket.send(&packet).expect("sends");
        if sequence % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    u64::from(packets)
}

/// The number in a line that stands behind `before` (or behind the bracket after it) and before `after`.
fn figure(line: &str, before: &str, after: &str) -> u64 {
    let rest = &line[line.find(before).expect(before) + before.len()..];
    let end = rest.find(after).expect(after);
    let digits: Vec<_> = rest[..end].rsplit(|c: char| !c.is_ascii_digit()).collect();
    digits[0].parse().unwrap_or_else(|_| panic!("no number before {after:?} in {line}"))
}

fn discards(line: &str) -> u64 {
    let (_, discards) = line.split_once("discards: ").expect("discards");
    discards.strip_prefix("unknown_ssrc=").map_or(0, |packets| packets.trim().parse().expect("a number"))
}

#[test]
fn a_taken_address_has_its_own_exit_code() {
    let first = Server::start(&[]);
    let output = Command::new(binary()).args(["--http-listen", &first.address.to_string()]).output().expect("runs");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("http.listen") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_wrong_setting_has_its_own_exit_code() {
    let output = Command::new(binary()).args(["--workers", "100000"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("workers = 100000"));
}
