//! SIGHUP: settings and certificate are read again, and those who are there notice nothing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use corecast_tests::server::{Server, binary, wait_for};

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("corecast-reload-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("is made");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn start(settings: &Path) -> Server {
    // Also where these tests themselves run under nohup.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(binary());
    let settings = settings.to_str().expect("text");
    Server::start_command(&mut command, &["--workers", "1", "--config", settings])
}

pub(crate) fn renew(server: &Server) {
    let before = server.lines(&["settings were read again"]).len();
    server.signal_supervisor("HUP");
    wait_for("the renewal", || (server.lines(&["settings were read again"]).len() > before).then_some(()));
}

#[test]
fn tokens_and_limits_are_read_again_and_what_is_wrong_changes_nothing() {
    let folder = Folder::new();
    let settings = folder.path("corecast.toml");
    let write = |text: &str| fs::write(&settings, text).expect("is written");
    write("[api]\ntokens = [\"old\"]\n");
    let server = start(&settings);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    let status = |token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        wait_for("an answer", || server.ask_with("GET", "/rooms", &header, "")).0
    };
    assert_eq!((status("old"), status("new")), (200, 401));
    write("[api]\ntokens = [\"new\"]\n[rooms]\nidle = \"1h\"\n");
    renew(&server);
    assert_eq!((status("old"), status("new")), (401, 200));
    let others = server.lines(&["WARN", "rooms.idle can only be taken over by a new start"]);
    assert_eq!(others.len(), 1, "{others:?}");
    for wrong in ["[api]\ntokens = [\"a b\"]\n", "nonsense = 1\n", "[log]\nfilter = \"corecast=loud\"\n"] {
        let before = server.lines(&["ERROR", "the settings stay as they were"]).len();
        write(wrong);
        server.signal_supervisor("HUP");
        let error = || server.lines(&["ERROR", "the settings stay as they were"]);
        wait_for("the error", || (error().len() > before).then_some(()));
        assert_eq!((status("old"), status("new")), (401, 200), "{wrong}");
    }
    // A client that tries in vain too often is stopped by a limit, which can be taken away.
    write("[api]\ntokens = [\"new\"]\n[limits]\nsessions_per_second_per_ip = 1\n");
    renew(&server);
    wait_for("the limit", || (status("guess") == 429).then_some(()));
    write("[api]\ntokens = [\"new\"]\n[limits]\nsessions_per_second_per_ip = 0\n");
    renew(&server);
    assert!((0..50).all(|_| status("guess") == 401));
    assert_eq!(server.lines(&["died: "]).len(), 0);
}

/// The common name in the certificate that a server shows.
fn shown(server: &Server) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &server.address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    client.stdin.take().expect("piped").write_all(b"Q\n").expect("writes");
    let output = client.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let subject = text.lines().find(|line| line.starts_with("subject=")).unwrap_or_else(|| panic!("{text}"));
    subject.rsplit('=').next().expect("a name").trim().to_owned()
}

#[test]
fn a_certificate_that_was_renewed_is_shown_without_a_restart() {
    let folder = Folder::new();
    let (settings, cert, key) = (folder.path("corecast.toml"), folder.path("cert.pem"), folder.path("key.pem"));
    let make = |name: &str| {
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={name}"), "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&cert)
            .output()
            .expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    make("first.example");
    let text = format!("[http]\ntls_cert = {:?}\ntls_key = {:?}\n", cert.to_str(), key.to_str());
    fs::write(&settings, text.replace("Some(", "").replace(')', "")).expect("is written");
    let server = start(&settings);
    wait_for("ready", || server.lines(&["is ready"]).pop());
    assert_eq!(shown(&server), "first.example");
    make("second.example");
    renew(&server);
    assert_eq!(shown(&server), "second.example");
    // One that cannot be used leaves the one before.
    fs::write(&cert, "nonsense").expect("is written");
    server.signal_supervisor("HUP");
    wait_for("the error", || server.lines(&["ERROR", "the settings stay as they were"]).pop());
    assert_eq!(shown(&server), "second.example");
}
