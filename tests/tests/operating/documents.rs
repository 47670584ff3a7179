//! The commands that the pages for operators show are run as they stand there, the settings are read, and what they
//! name is there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use corecast_tests::broadcaster::Room;
use corecast_tests::server::{Server, binary, kill, wait_for};

use super::reload::Folder;

const PAGES: [&str; 8] = ["operations", "install", "configure", "watch", "tune", "secure", "upgrade", "troubleshoot"];

/// Commands that begin so are not run here, and why.
const NOT_HERE: [(&str, &str); 10] = [
    ("cargo ", "compiles for minutes; tests/run package runs them"),
    ("apt ", "wants root and a built package; tests/run package installs it"),
    ("editor ", "waits for a person"),
    ("install ", "writes to folders of the system; tests/run package checks what the package puts there"),
    ("systemd-sysusers ", "changes the system's users; tests/run package has the package do it"),
    ("systemctl ", "wants a system that systemd has booted; tests/run package boots one"),
    ("journalctl ", "likewise"),
    ("podman ", "wants a container engine"),
    ("jq ", "wants a container engine's profile"),
    ("nft ", "changes the machine's firewall"),
];

/// Examples of what the log says, which stand like commands.
const LINES_OF_THE_LOG: [&str; 6] = ["usage ", "in=", "out=", "routers=", "session begins: ", "session ends: "];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name).with_extension("md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Commands of a page: what is indented as code, continued lines in one.
fn commands(page: &str) -> Vec<String> {
    let (mut found, mut in_fence, mut goes_on) = (Vec::<String>::new(), false, false);
    for line in page.lines() {
        in_fence ^= line.trim_start().starts_with("```");
        if in_fence || !line.starts_with("    ") {
            continue;
        }
        let part = line.trim().trim_end_matches('\\').trim_end();
        match found.last_mut() {
            Some(last) if goes_on => *last = format!("{last} {part}"),
            _ => found.push(part.to_owned()),
        }
        goes_on = line.ends_with('\\');
    }
    found.retain(|command| !LINES_OF_THE_LOG.iter().any(|begin| command.starts_with(begin)));
    found
}

/// Code between fences of this language.
fn fenced(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Words that stand as code in the text of a page and begin so.
fn spans<'a>(page: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    page.split('`').skip(1).step_by(2).filter(move |span| span.starts_with(begin))
}

/// A shell that runs one command of the pages in a folder, where `corecast` is the program under test.
fn shell(folder: &Folder, command: &str) -> Command {
    let bin = folder.path("bin");
    if !bin.exists() {
        fs::create_dir(&bin).expect("is made");
        std::os::unix::fs::symlink(binary(), bin.join("corecast")).expect("is made");
    }
    let path = std::env::var("PATH").expect("a path");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(folder.path("")).env("PATH", format!("{}:{path}", bin.display()));
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Runs a command that ends by itself.
fn done(folder: &Folder, command: &str) -> String {
    let output = shell(folder, command).output().expect("sh runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command}: {text}");
    text
}

/// A command that has a terminal, where q is pressed as soon as it shows cores.
fn in_terminal(command: &str) -> String {
    let presses = "for i in $(seq 200); do grep -qs CORE typescript && break; sleep 0.1; done; printf q";
    let terminal = "timeout 30 script --quiet --flush --return --command";
    format!("rm -f typescript; ({presses}) | {terminal} 'stty rows 40 cols 120; {command}' typescript")
}

/// Runs a command that is a server, until it is ready, and stops it.
fn serves(folder: &Folder, command: &str) {
    let ports = [
        ("CORECAST_HTTP_LISTEN", "127.0.0.1:20790"),
        ("CORECAST_RTC_WEBRTC_PORT", "20780"),
        ("CORECAST_RTC_PORT_RANGE", "20700-20779"),
        ("CORECAST_ADMIN_LISTEN", "off"),
    ];
    let here = [("0.0.0.0:4443", "127.0.0.1:20790"), ("192.0.2.10", "127.0.0.1"), ("40000-49999", "20700-20779")];
    let here = here.iter().fold(command.to_owned(), |text, (there, here)| text.replace(there, here));
    let mut child = shell(folder, &format!("exec {here}")).envs(ports).spawn().expect("sh runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let ready = lines.any(|line| line.starts_with("corecast ") && line.ends_with("is ready"));
    assert!(ready, "{command}: {}", ended(child));
    kill("INT", child.id());
    assert!(child.wait().expect("is ours").success(), "{command}");
}

/// What a child that has ended said of it.
fn ended(mut child: Child) -> String {
    let mut text = String::new();
    let _ = child.stderr.take().expect("piped").read_to_string(&mut text);
    let _ = child.wait();
    text
}

#[test]
fn commands_of_the_pages_do_what_they_are_shown_for() {
    let (own, folder) = (Folder::new(), Folder::new());
    let settings = own.path("corecast.toml");
    let socket = own.path("admin.sock");
    let server = Server::start(&["--workers", "1", "--admin-listen", socket.to_str().expect("text")]);
    wait_for("its line in the summary", || server.lines(&["  admin    "]).pop());
    let text = format!("[http]\nlisten = \"{}\"\n[admin]\nlisten = \"{}\"\n", server.address, socket.display());
    fs::write(&settings, text).expect("is written");
    let _ = Room::open(&server, "demo").join("ann");
    let certificate = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
                       -keyout privkey.pem -out fullchain.pem";
    let _ = done(&folder, certificate);
    let mut run = 0;
    for command in PAGES.iter().flat_map(|name| commands(&page(name))) {
        if NOT_HERE.iter().any(|(begin, _)| command.starts_with(begin)) {
            continue;
        }
        let here = command.replace("https://sfu.example", &format!("http://{}", server.address));
        let here = here.replace("/etc/corecast", &folder.path("").display().to_string());
        if command.starts_with("corecast --") {
            serves(&folder, &command);
        } else if command.starts_with("corecast top") && !command.contains("--once") {
            assert!(done(&own, &in_terminal(&here)).contains("CORE"), "{command}");
        } else {
            let text = done(&own, &here);
            assert!(!command.starts_with("corecast top") || text.contains("CORE"), "{command}: {text}");
        }
        run += 1;
    }
    assert!(run >= 10, "the pages show commands in another way");
    let left = |line: &str| server.lines(&["session ends", "\"ann\"", line]).pop();
    wait_for("what `close demo ann` does", || left("an operator removed it"));
    let key = fs::read_to_string(folder.path("jwt.pem")).expect("made by openssl");
    assert!(key.starts_with("-----BEGIN PUBLIC KEY-----"), "{key}");
    for text in PAGES.iter().flat_map(|name| fenced(&page(name), "toml")) {
        let text = text.replace("/etc/corecast", &folder.path("").display().to_string());
        fs::write(folder.path("shown.toml"), text).expect("is written");
        assert!(done(&folder, "corecast --config shown.toml --print-config").contains("[rtc]"));
    }
}

#[test]
fn what_is_not_run_here_is_still_shown() {
    let shown: Vec<_> = PAGES.iter().flat_map(|name| commands(&page(name))).collect();
    for (begin, why) in NOT_HERE {
        let is_shown = shown.iter().any(|command| command.starts_with(begin));
        let in_text = PAGES.iter().any(|name| spans(&page(name), begin).next().is_some());
        assert!(is_shown || in_text, "no page shows `{begin}` ({why}): take it from the list");
    }
}

#[test]
fn flags_and_commands_that_the_pages_name_are_those_of_the_program() {
    let folder = Folder::new();
    let names = |help: &str, begin: &str| -> BTreeSet<String> {
        let first = help.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with(begin)));
        first.map(|name| name.trim_end_matches(',').to_owned()).collect()
    };
    // Flags: those of the table of settings, and all that the help has.
    let (configure, watch) = (page("configure"), page("watch"));
    let rows = configure.lines().filter_map(|line| line.split('|').nth(2)).collect::<Vec<_>>().join("\n");
    let table: BTreeSet<_> = spans(&rows, "--").map(str::to_owned).collect();
    let mut of_program = names(&done(&folder, "corecast --help"), "--");
    for other in ["--config", "--print-config", "--help", "--version"] {
        assert!(of_program.remove(other), "{other}");
    }
    // Hidden.
    of_program.insert("--test-hooks".to_owned());
    assert_eq!(table, of_program);
    // What `ctl` does: each row of its table may name several.
    let help = done(&folder, "corecast ctl --help");
    let commands = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    let of_program: BTreeSet<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let section = watch.split("## `corecast ctl`").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("there");
    let rows = section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split(" | ").next());
    let named = rows.flat_map(|row| row.split('`').skip(1).step_by(2).filter_map(|span| span.split(' ').next()));
    let named: BTreeSet<_> = named.chain(["help"]).collect();
    assert_eq!(named, of_program);
    // And what is named in passing.
    for page in PAGES.map(page) {
        for word in spans(&page, "corecast ").filter_map(|span| span.split(' ').nth(1)) {
            if !word.starts_with("--") && word != "openapi" {
                let _ = done(&folder, &format!("corecast {word} --help"));
            }
        }
    }
}
