//! The text of a picture: what is most urgent first, then tables of cores, rooms and viewers, as many rows as fit.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Row, Table, presets};

use crate::telemetry::{Core, Picture, Reason, Series, Viewer};

/// What fits on a screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Lines above the tables, their headings, the lines between, and what says how much is left out.
const FIXED_ROWS: usize = 12;
/// Rows of each table, whatever the screen.
const LEAST_ROWS: usize = 3;
/// Characters of the plot of a core's CPU.
const PLOT: usize = 20;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Characters of a name.
const NAME: usize = 24;

/// The whole text.
pub(super) fn text(picture: &Picture, area: Area) -> String {
    let (cores, rooms, viewers) = shares(picture, area.rows);
    let mut text = head(picture);
    text.push('\n');
    text.push_str(&fitted(core_table(picture, cores), area));
    more(&mut text, cores, picture.cores.len(), "cores");
    text.push('\n');
    text.push_str(&fitted(room_table(picture, rooms), area));
    more(&mut text, rooms, picture.rooms_total, "rooms");
    text.push('\n');
    text.push_str(&fitted(viewer_table(picture, viewers), area));
    match picture.viewers.is_empty() {
        true => text.push_str(" nobody suffers\n"),
        false => more(&mut text, viewers.min(picture.viewers.len()), picture.viewers_total, "viewers"),
    }
    text
}

/// How many rows each table gets: cores first, then viewers who suffer, then rooms.
fn shares(picture: &Picture, rows: usize) -> (usize, usize, usize) {
    let left = rows.saturating_sub(FIXED_ROWS).max(3 * LEAST_ROWS);
    let cores = picture.cores.len().min(left.saturating_sub(2 * LEAST_ROWS));
    let left = left - cores;
    let rooms = picture.rooms.len().min((left / 2).max(LEAST_ROWS));
    (cores, rooms, picture.viewers.len().min(left - rooms))
}

fn more(text: &mut String, shown: usize, all: usize, what: &str) {
    if shown < all {
        let _ = writeln!(text, " and {} more {what}", all - shown);
    }
}

fn head(picture: &Picture) -> String {
    let unhappy = picture.unhappy;
    let mut text = format!(
        " corecast {}, up {}: {}, {}, {} unhappy",
        plain(&picture.version),
        since(picture.uptime_ms),
        count(picture.rooms_total, "room"),
        count(picture.viewers_total, "viewer"),
        unhappy.total()
    );
    if unhappy.total() > 0 {
        let by = [(unhappy.network, "network"), (unhappy.publisher, "publisher"), (unhappy.server, "server")];
        let by: Vec<_> = by.iter().filter(|(number, _)| *number > 0).map(|(n, why)| format!("{n} {why}")).collect();
        let _ = write!(text, " ({})", by.join(", "));
    }
    text.push('\n');
    if let Some((core, now)) = hottest(picture) {
        let _ = write!(text, " hottest: core {} at {:.0} %", core.core, now);
        if picture.cpu_limit_percent > 0 {
            let _ = write!(text, " of {} %", picture.cpu_limit_percent);
        }
        if let Some(room) = picture.rooms.first().filter(|room| room.out_pps > 0.0) {
            let core = picture.cores.iter().find(|core| core.worker == room.worker).map_or(0, |core| core.core);
            let _ = write!(text, "; room {} takes {:.0} % of core {core}", name(&room.room), room.cpu_percent);
        }
        text.push('\n');
    }
    if picture.look.is_none() {
        text.push_str(" the viewers have not been looked at yet\n");
    }
    text
}

/// The core whose worker uses most, and how much that is, in percent.
fn hottest(picture: &Picture) -> Option<(&Core, f64)> {
    let known = picture.cores.iter().filter_map(|core| Some((core, core.now.as_ref()?.cpu_percent)));
    known.max_by(|a, b| a.1.total_cmp(&b.1))
}

fn table(head: &[&str], left: &[usize]) -> Table {
    let mut table = Table::new();
    let mut head = Row::from(head.iter().map(Cell::new).collect::<Vec<_>>());
    head.max_height(1);
    table.load_style(presets::NOTHING).set_header(head);
    for (at, column) in table.column_iter_mut().enumerate() {
        let side = if left.contains(&at) { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(side);
    }
    table
}

/// The table's text, as wide as the screen at most.
fn fitted(mut table: Table, area: Area) -> String {
    let width = u16::try_from(area.columns).unwrap_or(u16::MAX);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    // A row is a line: what would need two is cut off.
    table.row_iter_mut().for_each(|row| {
        row.max_height(1);
    });
    format!("{table}\n")
}

fn core_table(picture: &Picture, rows: usize) -> Table {
    let head = ["CORE", "CPU", "LAST MINUTE", "BUSY", "IN", "OUT/s", "bit/s", "TRAIN", "p50", "p99", "DISCARDS/s"];
    let mut table = table(&head, &[2]);
    for core in picture.cores.iter().take(rows) {
        let Some(now) = &core.now else {
            table.add_row([Cell::new(core.core), Cell::new("starting")]);
            continue;
        };
        let limit = if picture.cpu_limit_percent == 0 { 100.0 } else { f64::from(picture.cpu_limit_percent) };
        let colour = match now.cpu_percent {
            cpu if cpu >= limit => Color::Red,
            cpu if cpu >= limit * 0.8 => Color::Yellow,
            _ => Color::Reset,
        };
        let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
        let discards = match now.discards.first() {
            None => "-".to_owned(),
            Some((reason, _)) => format!("{} {}", short(now.discards_per_s()), plain(reason)),
        };
        table.add_row([
            Cell::new(core.core),
            Cell::new(format!("{:.1} %", now.cpu_percent)).fg(colour),
            Cell::new(plot(&core.series)),
            Cell::new(format!("{:.0} %", now.busy_percent)),
            Cell::new(short(now.in_pps)),
            Cell::new(short(now.out_pps)),
            Cell::new(short(now.out_bps)),
            Cell::new(if now.train > 0.0 { format!("{:.1}", now.train) } else { "-".to_owned() }),
            Cell::new(time(now.p50_us)),
            Cell::new(time(now.p99_us)),
            Cell::new(discards),
        ]);
    }
    table
}

fn room_table(picture: &Picture, rows: usize) -> Table {
    let head = ["ROOM", "WORKER", "CPU about", "IN", "OUT/s", "bit/s", "VIEWERS", "UNHAPPY"];
    let mut table = table(&head, &[0]);
    for room in picture.rooms.iter().take(rows) {
        table.add_row([
            Cell::new(name(&room.room)),
            Cell::new(
                [&[room.worker], room.branches.as_slice()]
                    .concat()
                    .iter()
                    .map(u32::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
            ),
            Cell::new(format!("{:.1} %", room.cpu_percent)),
            Cell::new(short(room.in_pps)),
            Cell::new(short(room.out_pps)),
            Cell::new(short(room.out_bps)),
            Cell::new(room.viewers),
            Cell::new(room.unhappy).fg(if room.unhappy > 0 { Color::Yellow } else { Color::Reset }),
        ]);
    }
    table
}

fn viewer_table(picture: &Picture, rows: usize) -> Table {
    let head = ["VIEWER", "ROOM", "PAIN", "WHY", "PATH", "LOSS", "WHAT"];
    let mut table = table(&head, &[0, 1, 3, 6]);
    for viewer in picture.viewers.iter().take(rows) {
        let (why, colour) = match viewer.reason {
            None => ("-", Color::Reset),
            Some(Reason::Server) => (Reason::Server.name(), Color::Red),
            Some(reason) => (reason.name(), Color::Yellow),
        };
        table.add_row([
            Cell::new(called(viewer)),
            Cell::new(name(&viewer.room)),
            Cell::new(viewer.pain),
            Cell::new(why).fg(colour),
            Cell::new(viewer.available_bps.map_or_else(|| "-".to_owned(), |bps| short(bps as f64))),
            Cell::new(format!("{:.1} %", viewer.loss_percent)),
            Cell::new(viewer.complaints.first().map(|one| plain(&one.what)).unwrap_or_default()),
        ]);
    }
    table
}

/// As it calls itself. A viewer by WHEP has a long number for a name, of which the beginning does.
fn called(viewer: &Viewer) -> String {
    match (viewer.display_name.is_empty(), uuid::Uuid::try_parse(&viewer.peer)) {
        (false, _) => name(&viewer.display_name),
        (true, Ok(_)) => format!("viewer {}", viewer.peer.get(..8).unwrap_or(&viewer.peer)),
        (true, Err(_)) => name(&viewer.peer),
    }
}

/// What a terminal takes for a command is not shown: names are what clients say.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

fn name(text: &str) -> String {
    let text = plain(text);
    if text.chars().count() <= NAME { text } else { text.chars().take(NAME - 1).chain(['…']).collect() }
}

/// The CPU over the last minute, newest last.
fn plot(series: &Series) -> String {
    let newest = series.at_ms.last().copied().unwrap_or_default();
    let from = newest.saturating_sub(super::HISTORY_MS);
    let step = super::HISTORY_MS / PLOT as u64;
    let column = |at: u64| {
        let within = from + at * step..=from + (at + 1) * step;
        let points = series.at_ms.iter().zip(&series.cpu_percent);
        let points: Vec<f64> = points.filter(|(at, _)| within.contains(at)).map(|(_, cpu)| *cpu).collect();
        if points.is_empty() {
            return ' ';
        }
        let mean = points.iter().sum::<f64>() / points.len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
        let level = (mean / 100.0 * LEVELS.len() as f64).clamp(0.0, 7.0) as usize;
        LEVELS.get(level).copied().unwrap_or('█')
    };
    (0..PLOT as u64).map(column).collect()
}

fn short(value: f64) -> String {
    match value {
        _ if value >= 1e9 => format!("{:.2}G", value / 1e9),
        _ if value >= 1e6 => format!("{:.1}M", value / 1e6),
        _ if value >= 1e3 => format!("{:.1}k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

fn micros(us: u64) -> String {
    if us >= 1_000 { format!("{:.1} ms", us as f64 / 1_000.0) } else { format!("{us} µs") }
}

fn since(ms: u64) -> String {
    match ms / 1_000 {
        s if s < 60 => format!("{s} s"),
        s if s < 3_600 => format!("{} min", s / 60),
        s if s < 86_400 => format!("{} h {} min", s / 3_600, s / 60 % 60),
        s => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Complaint, Now, RoomLoad, Unhappy};

    fn picture() -> Picture {
        let now = Now { cpu_percent: 72.0, out_pps: 55_100.0, p99_us: Some(1_250), ..Now::default() };
        let series = Series { at_ms: vec![1_000, 61_000], cpu_percent: vec![10.0, 72.0], ..Series::default() };
        let what = "12.0 % of its packets are lost".to_owned();
        let complaint = Complaint { reason: Reason::Network, points: 36, what };
        Picture {
            version: "0.1.0".into(),
            uptime_ms: 3_700_000,
            cpu_limit_percent: 90,
            cores: vec![Core { core: 3, now: Some(now), series, ..Core::default() }, Core::default()],
            rooms: vec![RoomLoad { room: "demo".into(), out_pps: 55_100.0, cpu_percent: 70.0, ..RoomLoad::default() }],
            rooms_total: 1,
            viewers: vec![Viewer {
                room: "demo".into(),
                peer: "v1".into(),
                display_name: "Ben\u{1b}[2J".into(),
                pain: 36,
                reason: Some(Reason::Network),
                complaints: vec![complaint],
                ..Viewer::default()
            }],
            viewers_total: 200,
            unhappy: Unhappy { content: 199, network: 1, ..Unhappy::default() },
            ..Picture::default()
        }
    }

    #[test]
    fn the_text_says_what_is_hot_who_suffers_and_why() {
        let text = text(&picture(), Area { columns: 140, rows: usize::MAX });
        for part in [
            "up 1 h 1 min: 1 room, 200 viewers, 1 unhappy (1 network)",
            "hottest: core 3 at 72 % of 90 %; room demo takes 70 % of core 3",
            "72.0 %",
            "1.2 ms",
            "55.1k",
            "12.0 % of its packets are lost",
            "and 199 more viewers",
            "starting",
            "Ben·[2J",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "a name is no command to the terminal");
    }

    #[test]
    fn the_text_fits_the_screen() {
        let mut long = picture();
        long.cores = vec![long.cores[0].clone(); 64];
        long.rooms = vec![long.rooms[0].clone(); 20];
        long.viewers = vec![long.viewers[0].clone(); 20];
        for (columns, rows) in [(80, 24), (100, 50), (200, 60)] {
            let text = text(&long, Area { columns, rows });
            assert!(text.lines().count() <= rows, "{} of {rows} lines:\n{text}", text.lines().count());
            let longest = text.lines().skip(3).map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(longest <= columns, "{longest} of {columns} columns:\n{text}");
        }
    }

    #[test]
    fn a_plot_has_the_newest_on_its_right() {
        let series =
            Series { at_ms: vec![61_000, 119_000, 120_000], cpu_percent: vec![0.0, 95.0, 100.0], ..Series::default() };
        let plot = plot(&series);
        assert_eq!((plot.chars().count(), plot.chars().next(), plot.chars().last()), (PLOT, Some('▁'), Some('█')));
    }
}
