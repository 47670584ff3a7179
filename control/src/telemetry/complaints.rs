//! What a viewer suffers from, and whose fault it is: a pure function of what was counted between two looks.
//!
//! What people feel cannot be seen from here: whether a picture stands still, only their client knows. So these are
//! signs: a receiver that asks for a key frame has lost its picture; one whose path does not carry it is sent nothing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the cause lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    /// The path between the server and the viewer.
    Network,
    /// Who sends, or the path from there to the server.
    Publisher,
    /// This server.
    Server,
}

impl Reason {
    pub(crate) const ALL: [Self; 3] = [Self::Network, Self::Publisher, Self::Server];

    /// In metrics and for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Publisher => "publisher",
            Self::Server => "server",
        }
    }
}

/// One thing that is wrong for a viewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Complaint {
    pub(crate) reason: Reason,
    /// How bad it is, 1 to 100.
    pub(crate) points: u8,
    /// A sentence for people, without its end.
    pub(crate) what: String,
}

/// Who has fewer points than this in all does not suffer.
pub(super) const UNHAPPY: u8 = 20;
/// Share of lost packets from which it is felt.
const FELT_LOSS: f64 = 0.02;
/// The same for packets that the server itself discards.
const FELT_OWN_LOSS: f64 = 0.005;
/// Time in the path's queue from which it is felt.
const LONG_QUEUE_MS: f64 = 200.0;
/// Round trip from which people interrupt each other.
const LONG_ROUND_TRIP_MS: f64 = 400.0;
/// Time in the server, of the slowest hundredth.
const LONG_IN_SERVER_US: u64 = 100_000;

/// What was counted of a viewer's transport and its consumers since the look before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Share of the packets that the receiver says it lost, 0 to 1.
    pub(super) loss: f64,
    /// Share of the packets that had not come from the senders either.
    pub(super) source_loss: f64,
    /// What people call the peer that loses most on its way here.
    pub(super) lossy_source: Option<String>,
    /// What people call the peers of which nothing comes, though they have not paused, with what is missing.
    pub(super) silent_sources: Vec<String>,
    /// Consumers of pictures that the path does not carry at all, and in full.
    pub(super) suspended: usize,
    pub(super) reduced: usize,
    /// Consumers of pictures.
    pub(super) pictures: usize,
    /// Key frames that its receiver has asked for, and of how many pictures.
    pub(super) key_frames_asked: u64,
    /// What the path carries, in bits per second.
    pub(super) available_bps: Option<u64>,
    /// How long packets wait in the path, in milliseconds.
    pub(super) queue_ms: f64,
    pub(super) round_trip_ms: Option<f64>,
    /// Packets leave, and nothing is heard of them.
    pub(super) is_unheard: bool,
    /// ICE has lost the client.
    pub(super) is_disconnected: bool,
    /// Its packets go over TCP.
    pub(super) is_tcp: bool,
    /// Share of the packets that the server did not send for reasons of its own.
    pub(super) own_loss: f64,
    /// Share of the packets that were not sent since the path carries less.
    pub(super) path_loss: f64,
    /// Index of its worker.
    pub(super) worker: u32,
    /// Whether the worker discards media because it is too late.
    pub(super) is_shedding: bool,
    /// How long the slowest hundredth of its packets takes, in microseconds.
    pub(super) p99_us: u64,
}

/// Kilobits or megabits per second, for people.
fn rate(bps: u64) -> String {
    match bps {
        0..1_000_000 => format!("{} kbit/s", bps / 1_000),
        _ => format!("{:.1} Mbit/s", bps as f64 / 1e6),
    }
}

/// So many points for each percent, up to a most.
fn by_share(share: f64, points_per_percent: f64, most: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let points = (share * 100.0 * points_per_percent).clamp(1.0, most) as u8;
    points
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Everything that is wrong, the gravest first.
pub(super) fn complaints(facts: &Facts) -> Vec<Complaint> {
    let mut found = Vec::new();
    found.extend(of_network(facts).into_iter().map(|(points, what)| (Reason::Network, points, what)));
    found.extend(of_publishers(facts).into_iter().map(|(points, what)| (Reason::Publisher, points, what)));
    found.extend(of_server(facts).into_iter().map(|(points, what)| (Reason::Server, points, what)));
    found.sort_by_key(|(reason, points, _)| (std::cmp::Reverse(*points), *reason));
    found.into_iter().map(|(reason, points, what)| Complaint { reason, points, what }).collect()
}

/// The sum of the points, and the reason that has most of them if that is much.
pub(super) fn verdict(complaints: &[Complaint]) -> (u8, Option<Reason>) {
    let points = |of: Option<Reason>| -> u32 {
        let counted = complaints.iter().filter(|one| of.is_none_or(|of| one.reason == of));
        counted.map(|one| u32::from(one.points)).sum()
    };
    let pain = u8::try_from(points(None).min(100)).unwrap_or(100);
    let worst = Reason::ALL.into_iter().max_by_key(|reason| points(Some(*reason)));
    (pain, worst.filter(|_| pain >= UNHAPPY))
}

/// A receiver reports also what had not come here: that is not its path's fault.
fn of_network(facts: &Facts) -> Vec<(u8, String)> {
    let mut found = Vec::new();
    let loss = facts.loss - facts.source_loss;
    if facts.is_disconnected {
        found.push((90, "its client has not been heard of".to_owned()));
    } else if facts.is_unheard {
        found.push((60, "packets leave, and nothing is heard of them".to_owned()));
    }
    if loss >= FELT_LOSS {
        found.push((by_share(loss, 3.0, 50.0), format!("{} of its packets are lost", percent(loss))));
    }
    let carries = facts.available_bps.map_or_else(String::new, |bps| format!(": its path carries {}", rate(bps)));
    if facts.suspended > 0 {
        found.push((50, format!("{} of {} pictures are not sent{carries}", facts.suspended, facts.pictures)));
    } else if facts.reduced > 0 {
        found.push((
            15,
            format!("{} of {} pictures are smaller than asked for{carries}", facts.reduced, facts.pictures),
        ));
    }
    if facts.key_frames_asked > 0 && facts.source_loss < FELT_LOSS {
        let points = u8::try_from(facts.key_frames_asked.saturating_mul(10).min(30)).unwrap_or(30);
        found.push((points, format!("asked for {} key frames: pictures stood still", facts.key_frames_asked)));
    }
    if facts.queue_ms >= LONG_QUEUE_MS {
        found.push((15, format!("packets wait {:.0} ms in its path", facts.queue_ms)));
    }
    if let Some(ms) = facts.round_trip_ms.filter(|ms| *ms >= LONG_ROUND_TRIP_MS) {
        found.push((15, format!("a round trip takes {ms:.0} ms")));
    }
    if facts.path_loss >= FELT_OWN_LOSS {
        let what = format!("{} of its packets waited too long for its path", percent(facts.path_loss));
        found.push((by_share(facts.path_loss, 3.0, 30.0), what));
    }
    if facts.is_tcp && facts.own_loss >= FELT_OWN_LOSS {
        let what = format!("its TCP connection does not take {} of the packets", percent(facts.own_loss));
        found.push((by_share(facts.own_loss, 5.0, 60.0), what));
    }
    found
}

fn of_publishers(facts: &Facts) -> Vec<(u8, String)> {
    let mut found = Vec::new();
    if facts.source_loss >= FELT_LOSS {
        let who = facts.lossy_source.as_deref().unwrap_or("a publisher");
        let what = format!("{} of the packets from {who:?} are lost on their way here", percent(facts.source_loss));
        found.push((by_share(facts.source_loss, 3.0, 50.0), what));
        if facts.key_frames_asked > 0 {
            found.push((20, format!("asked for {} key frames: pictures stood still", facts.key_frames_asked)));
        }
    }
    if let Some((first, others)) = facts.silent_sources.split_first() {
        let more = if others.is_empty() { String::new() } else { format!(", and {} more", others.len()) };
        found.push((50, format!("nothing comes from {first}{more}")));
    }
    found
}

fn of_server(facts: &Facts) -> Vec<(u8, String)> {
    let mut found = Vec::new();
    if !facts.is_tcp && facts.own_loss >= FELT_OWN_LOSS {
        let what = format!("the server discards {} of its packets", percent(facts.own_loss));
        found.push((by_share(facts.own_loss, 5.0, 60.0).max(20), what));
    }
    if facts.is_shedding {
        found.push((40, format!("worker {} is overloaded and discards media", facts.worker)));
    }
    if facts.p99_us >= LONG_IN_SERVER_US {
        found.push((30, format!("packets take up to {} ms in worker {}", facts.p99_us / 1_000, facts.worker)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(facts: &Facts) -> (u8, Option<Reason>, Vec<String>) {
        let found = complaints(facts);
        let (pain, reason) = verdict(&found);
        (pain, reason, found.into_iter().map(|one| one.what).collect())
    }

    #[test]
    fn who_gets_everything_does_not_suffer() {
        assert_eq!(judged(&Facts::default()), (0, None, vec![]));
        let facts = Facts { loss: 0.01, reduced: 1, pictures: 2, queue_ms: 20.0, ..Facts::default() };
        let (pain, reason, _) = judged(&facts);
        assert!(pain < UNHAPPY && reason.is_none(), "a smaller picture alone is no suffering: {pain}");
    }

    #[test]
    fn the_fault_is_found_where_packets_are_lost() {
        let network = Facts { loss: 0.12, available_bps: Some(300_000), suspended: 1, pictures: 2, ..Facts::default() };
        let (pain, reason, what) = judged(&network);
        assert_eq!((pain, reason), (86, Some(Reason::Network)));
        assert_eq!(what[0], "1 of 2 pictures are not sent: its path carries 300 kbit/s");
        assert_eq!(what[1], "12.0 % of its packets are lost");
        // The receiver reports what did not come here, too.
        let lossy_source = Some("Ann".to_owned());
        let publisher = Facts { loss: 0.12, source_loss: 0.11, lossy_source, key_frames_asked: 2, ..Facts::default() };
        let (_, reason, what) = judged(&publisher);
        assert_eq!(reason, Some(Reason::Publisher));
        assert!(what.iter().all(|what| !what.contains("its packets")), "{what:?}");
        assert!(what[0].contains("\"Ann\""), "{what:?}");
        let server = Facts { is_shedding: true, own_loss: 0.02, worker: 3, p99_us: 250_000, ..Facts::default() };
        let (pain, reason, what) = judged(&server);
        assert_eq!((pain, reason), (90, Some(Reason::Server)), "{what:?}");
    }

    #[test]
    fn what_a_path_or_a_tcp_connection_does_not_take_is_the_networks_fault() {
        for facts in
            [Facts { is_tcp: true, own_loss: 0.1, ..Facts::default() }, Facts { path_loss: 0.1, ..Facts::default() }]
        {
            assert_eq!(judged(&facts).1, Some(Reason::Network), "{facts:?}");
        }
    }

    #[test]
    fn a_publisher_that_fell_silent_is_named() {
        let silent_sources = vec!["\"Ann\" (video)".to_owned(), "\"Ben\" (audio)".to_owned()];
        let (pain, reason, what) = judged(&Facts { silent_sources, ..Facts::default() });
        assert_eq!((pain, reason), (50, Some(Reason::Publisher)));
        assert_eq!(what, ["nothing comes from \"Ann\" (video), and 1 more"]);
    }

    #[test]
    fn pain_has_an_end() {
        let facts =
            Facts { is_disconnected: true, loss: 1.0, is_shedding: true, p99_us: 1_000_000, ..Facts::default() };
        assert_eq!(judged(&facts).0, 100);
    }
}
