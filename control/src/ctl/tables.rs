//! Answers as people read them.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use serde_json::Value;

use super::client::{Failure, read};
use crate::config::Wish;
use crate::ops::admin::bodies::{MutedBody, PeerBody, PeerList, RoomBody, RoomList, ServerBody, WorkerBody};

/// What came of a wish.
pub(super) fn show(wish: &Wish, answer: Value) -> Result<String, Failure> {
    Ok(match wish {
        Wish::Server => server(&read(answer)?),
        Wish::Rooms => rooms(&read(answer)?),
        Wish::Peers { .. } => peers(&read(answer)?),
        Wish::Mute { peer, .. } | Wish::Unmute { peer, .. } => {
            format!("{}: {}\n", safe(peer), muted(read(answer)?).unwrap_or("not muted"))
        }
        _ => super::pretty(&answer),
    })
}

/// A name as it may stand in a terminal: others have chosen it.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A table without lines. The columns after the first `texts` hold numbers.
fn table(heads: &[&str], texts: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heads.iter().map(Cell::new));
    for row in rows {
        let cell = |(column, text): (usize, String)| {
            let side = if column < texts { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(side)
        };
        table.add_row(row.into_iter().enumerate().map(cell));
    }
    let lines = table.to_string();
    // Each cell has a blank on either side.
    lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned() + "\n").collect()
}

/// `3d 4h`, `12m 5s`.
fn age(ms: u64) -> String {
    let s = Duration::from_millis(ms).as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3_600 % 24),
    }
}

fn server(server: &ServerBody) -> String {
    let ServerBody { version, pid, uptime_ms, state, isolation, rooms, workers } = server;
    let state = format!("{state:?}").to_lowercase();
    let mut text = format!(
        "corecast {version}, {state}, process {pid}, up {}, {rooms} {}\n",
        age(*uptime_ms),
        if *rooms == 1 { "room" } else { "rooms" }
    );
    let _ = writeln!(text, "workers are {}", if isolation == "process" { "processes" } else { "threads" });
    let row = |of: &WorkerBody| {
        let counts = [of.rooms, of.transports, of.producers, of.consumers].map(|count| count.to_string());
        let who = [of.index.to_string(), of.core.to_string(), of.pid.to_string(), format!("{:.1}", of.cpu_percent)];
        who.into_iter().chain(counts).collect()
    };
    let heads = ["WORKER", "CORE", "PID", "CPU %", "ROOMS", "TRANSPORTS", "PRODUCERS", "CONSUMERS"];
    text + &table(&heads, 0, workers.iter().map(row))
}

fn rooms(list: &RoomList) -> String {
    if list.rooms.is_empty() {
        return "no rooms\n".into();
    }
    let row = |of: &RoomBody| {
        let counts = [of.participants, of.publishers, of.broadcasters, of.viewers, of.consumers];
        let counts = counts.map(|count| count.to_string());
        let priority = format!("{:?}", of.priority).to_lowercase();
        [safe(&of.id), priority, of.worker.to_string()].into_iter().chain(counts).collect()
    };
    let heads = ["ROOM", "PRIORITY", "WORKER", "PARTICIPANTS", "PUBLISHERS", "BROADCASTERS", "VIEWERS", "CONSUMERS"];
    table(&heads, 2, list.rooms.iter().map(row))
}

fn muted(muted: MutedBody) -> Option<&'static str> {
    match (muted.audio, muted.video) {
        (true, true) => Some("muted"),
        (true, false) => Some("audio muted"),
        (false, true) => Some("video muted"),
        (false, false) => None,
    }
}

fn peers(list: &PeerList) -> String {
    let row = |of: &PeerBody| {
        let sends: Vec<_> = of
            .producers
            .iter()
            .map(|one| if one.paused { format!("({})", one.kind) } else { one.kind.clone() })
            .collect();
        let state = muted(of.muted).unwrap_or(if of.joined || of.kind == "viewer" { "" } else { "not joined" });
        let texts = [&of.id, &of.kind, &of.display_name, &of.address].map(|text| safe(text));
        let rest = [sends.join(" "), state.to_owned(), age(of.age_ms), of.consumers.to_string()];
        texts.into_iter().chain(rest).collect()
    };
    let heads = ["PEER", "KIND", "NAME", "ADDRESS", "SENDS", "STATE", "SINCE", "CONSUMERS"];
    let mut text = match list.peers.is_empty() {
        true => "nobody is here\n".to_owned(),
        false => table(&heads, 6, list.peers.iter().map(row)),
    };
    if !list.removed.is_empty() {
        let names: Vec<_> = list.removed.iter().map(|name| safe(name)).collect();
        let _ = writeln!(text, "\nremoved, until invited: {}", names.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn peer(id: &str, kind: &str, audio: bool) -> Value {
        json!({ "id": id, "kind": kind, "displayName": "A\u{1b}[2J", "joined": true, "address": "192.0.2.7",
                "ageMs": 65_000, "muted": { "audio": audio, "video": false },
                "producers": [{ "id": "x", "kind": "audio", "paused": true }, { "id": "y", "kind": "video",
                "paused": false }], "transports": 2, "consumers": 7 })
    }

    #[test]
    fn peers_are_a_table_and_names_do_nothing_to_the_terminal() {
        let list = json!({ "peers": [peer("ann", "participant", true), peer("x\ny", "viewer", false)],
                           "removed": ["ben", "c\u{7}d"] });
        let text = peers(&read(list).expect("a list"));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].trim_start().starts_with("PEER") && lines[0].ends_with("CONSUMERS"), "{text}");
        let words: Vec<_> = lines[1].split_whitespace().collect();
        let expected =
            ["ann", "participant", "A\u{fffd}[2J", "192.0.2.7", "(audio)", "video", "audio", "muted", "1m", "5s"];
        assert_eq!(words[..10], expected, "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[4].contains("ben, c\u{fffd}d"), "{text}");
    }

    #[test]
    fn ages_are_short() {
        for (s, text) in [(5, "5s"), (125, "2m 5s"), (7_325, "2h 2m"), (100_000, "1d 3h")] {
            assert_eq!(age(s * 1_000), text);
        }
    }
}
