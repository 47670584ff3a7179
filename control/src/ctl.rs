//! `corecast ctl`: an operator asks a running server, or tells it what to do, through the API that the server has for
//! operators. Tables are for people, `--json` is for programs.

mod client;
mod tables;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin_socket;
use crate::config::{Args, Config, Ctl, Media, Wish};
use crate::exit;
use crate::ops::admin::bodies::ServerBody;
use client::{Client, Failure};

/// So long a server may take to come up again.
const RESTART_LIMIT: Duration = Duration::from_secs(30);
const RESTART_CHECK: Duration = Duration::from_millis(100);

/// Does what the operator wants. What came of it is written to standard output, and why nothing came of it to standard
/// error.
pub(crate) fn run(args: &Args, ctl: &Ctl) -> ExitCode {
    let text = connect(args, ctl).and_then(|client| fulfil(&client, ctl));
    match text {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(exit::FAILED),
        },
        Err(Failure(sentence)) => {
            let _ = writeln!(std::io::stderr(), "corecast: {sentence}");
            ExitCode::from(exit::FAILED)
        }
    }
}

fn connect(args: &Args, ctl: &Ctl) -> Result<Client, Failure> {
    let found = match &ctl.at {
        Some(at) => Some(at.clone()),
        None => {
            let config =
                Config::to_ask(args).map_err(|error| Failure(format!("{error}; or name the socket by --at")))?;
            admin_socket::find(&config.admin.listen, config.http.listen.0.port())
        }
    };
    let missing = "no server is found: start one, or name its settings (corecast --config FILE ctl), or its socket \
                   (the line \"admin\" of its summary) by --at";
    Client::new(&found.ok_or_else(|| Failure(missing.into()))?, ctl.token.clone())
}

/// A path of the API, with these names in it.
fn path(parts: &[&str]) -> String {
    let mut path = String::from("/v1");
    for part in parts {
        path.push('/');
        path.push_str(&crate::http::path_segment(part));
    }
    path
}

/// What is muted, or not, of one kind or of both.
fn mute(kind: Option<Media>, muted: bool) -> Value {
    let of = |one| (kind.is_none_or(|kind| kind == one)).then_some(muted);
    json!({ "audio": of(Media::Audio), "video": of(Media::Video) })
}

fn fulfil(client: &Client, ctl: &Ctl) -> Result<String, Failure> {
    let (method, path, body, done) = match &ctl.wish {
        Wish::Restart => return restart(client, ctl.json),
        Wish::Server => ("GET", path(&["server"]), None, String::new()),
        Wish::Rooms => ("GET", path(&["rooms"]), None, String::new()),
        Wish::Peers { room } => ("GET", path(&["rooms", room, "peers"]), None, String::new()),
        Wish::Dump { room } => ("GET", path(&["rooms", room, "dump"]), None, String::new()),
        Wish::Close { room, peer: None, .. } => {
            ("DELETE", path(&["rooms", room]), None, format!("room {room:?} is closed"))
        }
        Wish::Close { room, peer: Some(peer), may_return } => {
            let path = path(&["rooms", room, "peers", peer]) + if *may_return { "?mayReturn=true" } else { "" };
            ("DELETE", path, None, format!("{peer:?} has left room {room:?}"))
        }
        Wish::Invite { room, peer } => {
            let path = path(&["rooms", room, "peers", peer, "invite"]);
            ("POST", path, None, format!("{peer:?} may come to room {room:?} again"))
        }
        Wish::Mute { room, peer, kind } => {
            ("PUT", path(&["rooms", room, "peers", peer, "muted"]), Some(mute(*kind, true)), String::new())
        }
        Wish::Unmute { room, peer, kind } => {
            ("PUT", path(&["rooms", room, "peers", peer, "muted"]), Some(mute(*kind, false)), String::new())
        }
        Wish::Loudest { room, speakers } => {
            let heard = if *speakers == 0 { "all are".to_owned() } else { format!("the loudest {speakers} are") };
            let (path, body) = (path(&["rooms", room, "loudest"]), json!({ "speakers": speakers }));
            ("PUT", path, Some(body), format!("{heard} heard in room {room:?}"))
        }
        Wish::Priority { room, priority } => {
            let (path, body) = (path(&["priorities", room]), json!({ "priority": priority }));
            let said =
                format!("room {room:?} has {} priority from now on", body["priority"].as_str().unwrap_or_default());
            ("PUT", path, Some(body), said)
        }
        Wish::Cordon => ("PUT", path(&["cordon"]), None, "no new rooms are made".into()),
        Wish::Uncordon => ("DELETE", path(&["cordon"]), None, "new rooms are made again".into()),
        Wish::Drain => ("POST", path(&["drain"]), None, "the server drains, and stops".into()),
        Wish::Log { filter } => {
            ("PUT", path(&["log"]), Some(json!({ "filter": filter })), format!("the log's filter is {filter:?}"))
        }
    };
    let answer = client.ask(method, &path, body.as_ref())?;
    if answer.is_null() {
        return Ok(if ctl.json { String::new() } else { done + "\n" });
    }
    if ctl.json {
        return Ok(pretty(&answer));
    }
    tables::show(&ctl.wish, answer)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// Returns when another server is there.
fn restart(client: &Client, is_json: bool) -> Result<String, Failure> {
    let server = || -> Result<ServerBody, Failure> { client::read(client.ask("GET", &path(&["server"]), None)?) };
    let before = server()?.pid;
    client.ask("POST", &path(&["restart"]), None)?;
    let until = std::time::Instant::now() + RESTART_LIMIT;
    loop {
        std::thread::sleep(RESTART_CHECK);
        // A question that the server before had not answered yet is lost with it.
        match server() {
            Ok(after) if after.pid != before => {
                return match is_json {
                    true => Ok(pretty(&json!({ "pid": after.pid }))),
                    false => Ok(format!("the server has started again: process {}\n", after.pid)),
                };
            }
            _ if std::time::Instant::now() < until => {}
            Ok(_) => return Err(Failure("the server was told to restart and is still the same".into())),
            Err(failure) => return Err(failure),
        }
    }
}
