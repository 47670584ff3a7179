//! Endpoints that join while media flows: started at a rate, on the one thread that also sends and reads the media.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use corecast_wire::SrtpCryptoSuite;
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::generator::{Beside, Ends};
use crate::packet::FIRST_SSRC;
use crate::site::Site;
use crate::subscribers::Promised;
use crate::webrtc::dtls::Terms;
use crate::webrtc::records;
use crate::webrtc::sdp::{Kind, Media};
use crate::webrtc::talking::Talking;
use crate::webrtc::upkeep::Upkeep;
use crate::webrtc::{Identity, JoinError, Options, Phase, Session, Times, join};

/// Time in which media must have come.
const FIRST_RTP_WITHIN: Duration = Duration::from_secs(10);
const LEAVE_WITHIN: Duration = Duration::from_secs(20);
/// How often the runtime runs while no endpoint joins or leaves.
const IDLE_TURN_NS: u64 = 10_000_000;
/// Who publishes messages, and the stream of sound that it announces and never sends.
const TALKER: &str = "talker";
const TALKER_SSRC: u32 = 7;
/// Longest reason that is reported, in characters.
const REASON_CHARS: usize = 160;

/// Where endpoints join, and as what.
#[derive(Debug)]
pub struct Joiner {
    /// Where they run.
    runtime: Runtime,
    client: reqwest::Client,
    base: String,
    room: String,
    token: Option<String>,
    identity: Arc<Identity>,
    suite: SrtpCryptoSuite,
    kind: Kind,
    /// Those who watch say what arrives.
    feedback: bool,
}

/// An endpoint that has joined and has had a packet.
#[derive(Debug)]
pub struct Joined {
    session: Session,
    promised: Promised,
}

type Result<T> = std::result::Result<T, JoinError>;

impl Joiner {
    /// Endpoints will join a room of this server.
    ///
    /// # Errors
    /// No runtime or no certificate is to be had.
    pub fn new(
        site: &Site,
        room: &str,
        token: Option<&str>,
        suite: SrtpCryptoSuite,
        kind: Kind,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            client: site.client().build()?,
            base: site.base().to_owned(),
            room: room.to_owned(),
            token: token.map(str::to_owned),
            identity: Arc::new(Identity::new()?),
            suite,
            kind,
            feedback: false,
        })
    }

    /// The same, but those who watch say what arrives, if `feedback`.
    #[must_use]
    pub fn with_feedback(self, feedback: bool) -> Self {
        Self { feedback, ..self }
    }

    fn options(&self, media: Media) -> Options {
        let terms = Terms { profiles: vec![self.suite], ..Terms::default() };
        Options { token: self.token.clone(), terms, ..Options::new(&self.identity, vec![media]) }
    }

    /// Payload type of what is sent.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        Media::plain(self.kind, true, None).payload_type
    }

    /// Has publisher `number` join, and waits for it.
    ///
    /// # Errors
    /// A step failed.
    pub fn publish(&self, number: u16) -> Result<Session> {
        let url = format!("{}/whip/{}?peer=publisher-{number}", self.base, self.room);
        let media = Media::plain(self.kind, true, Some(FIRST_SSRC + u32::from(number)));
        self.runtime.block_on(join(&self.client, &url, self.options(media)))
    }

    /// Has an endpoint with data channels join, and waits for it: the publisher of messages, or one who watches it.
    ///
    /// # Errors
    /// A step failed.
    pub fn talk(&self, publishes: bool, now_ns: u64) -> anyhow::Result<Talking> {
        let url = match publishes {
            true => format!("{}/whip/{}?peer={TALKER}", self.base, self.room),
            false => format!("{}/whep/{}/{TALKER}", self.base, self.room),
        };
        let media = Media::plain(Kind::Audio, publishes, Some(TALKER_SSRC));
        let mut options = self.options(media);
        options.data = true;
        options.terms.cipher_suites = vec![records::SUITE];
        self.runtime.block_on(async {
            let session = join(&self.client, &url, options).await?;
            Talking::begin(session.into_parts(), now_ns).await
        })
    }

    /// Starts an endpoint that watches publisher `number`; the result comes on `done`.
    fn watch(&self, number: usize, done: mpsc::UnboundedSender<Result<Joined>>) {
        let url = format!("{}/whep/{}/publisher-{number}", self.base, self.room);
        let (client, kind) = (self.client.clone(), self.kind);
        let media = Media::plain(kind, false, None);
        let options = self.options(if self.feedback { media.with_feedback() } else { media });
        self.runtime.spawn(async move {
            // Fails if the receiver has given up waiting and does not want to know.
            let _ = done.send(watch(&client, &url, options, kind, number).await);
        });
    }

    /// Has all endpoints leave, one group after the other, and says how many of them the server no longer knew.
    #[must_use]
    pub fn leave(&self, groups: [Vec<Upkeep>; 2]) -> usize {
        let leaving = async {
            let mut unknown = 0;
            for group in groups {
                let leaving: tokio::task::JoinSet<_> = group.into_iter().map(Upkeep::leave).collect();
                unknown += leaving.join_all().await.iter().filter(|left| left.is_err()).count();
            }
            unknown
        };
        self.runtime.block_on(async { tokio::time::timeout(LEAVE_WITHIN, leaving).await }).unwrap_or(0)
    }
}

/// Joins, and waits for the first packet; its SSRC must be one that the answer has named, if it names any.
async fn watch(client: &reqwest::Client, url: &str, options: Options, kind: Kind, publisher: usize) -> Result<Joined> {
    let mut session = join(client, url, options).await?;
    let mut packet = session.recv_rtp(FIRST_RTP_WITHIN).await?;
    let rtx = session.answer().rtx();
    while rtx == Some(packet.header.payload_type) {
        packet = session.recv_rtp(FIRST_RTP_WITHIN).await?;
    }
    let (ssrc, payload_type) = (packet.header.ssrc, packet.header.payload_type);
    let media = session.answer().media(kind);
    let known = media.is_some_and(|media| {
        (media.ssrcs.is_empty() || media.ssrcs.contains(&ssrc))
            && media.codecs.iter().any(|(number, _)| *number == payload_type)
    });
    if !known {
        let reason = anyhow!("SSRC {ssrc} with payload type {payload_type} is not in the answer: {media:?}");
        return Err(JoinError::new(Phase::FirstRtp, reason));
    }
    Ok(Joined { session, promised: Promised { publisher, ssrc, payload_type } })
}

/// How joins went.
#[derive(Clone, Debug)]
pub struct Setups {
    /// Offer and answer, in microseconds; then checks, handshake, first packet, and all of it.
    pub phases: [Histogram<u64>; 5],
    /// Why endpoints failed to join, and how many for each reason.
    pub failures: BTreeMap<String, u64>,
    /// Endpoints that are in.
    pub joined: u64,
    /// When the first began and when the last was in or had failed, in nanoseconds.
    pub span_ns: (u64, u64),
}

/// Names of [`Setups::phases`].
pub const PHASES: [&str; 5] = ["http", "ice", "dtls", "first_rtp", "total"];

impl Setups {
    fn new() -> anyhow::Result<Self> {
        let empty = Histogram::new_with_bounds(1, 600_000_000, 3).context("histogram")?;
        Ok(Self {
            phases: std::array::from_fn(|_| empty.clone()),
            failures: BTreeMap::new(),
            joined: 0,
            span_ns: (u64::MAX, 0),
        })
    }

    fn note(&mut self, times: &Times) {
        self.joined += 1;
        let times = [times.http, times.ice, times.dtls, times.first_rtp.unwrap_or_default(), times.total];
        for (phase, time) in self.phases.iter_mut().zip(times) {
            phase.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
        }
    }

    fn note_failure(&mut self, error: &JoinError) {
        let reason: String = error.to_string().chars().take(REASON_CHARS).collect();
        *self.failures.entry(reason).or_default() += 1;
    }

    /// Endpoints that failed to join.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Joins per second, from the beginning of the first to the end of the last.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let ns = self.span_ns.1.saturating_sub(self.span_ns.0).max(1);
        self.joined as f64 * 1e9 / ns as f64
    }
}

/// What an endpoint does once it has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// They become subscribers.
    ForGood,
    /// They leave at once.
    Not,
}

/// Joins going on.
#[derive(Debug)]
pub struct Joins<'a> {
    joiner: &'a Joiner,
    stay: Stay,
    publishers: usize,
    total: u64,
    interval_ns: u64,
    started: u64,
    next_start_ns: Option<u64>,
    next_turn_ns: u64,
    /// Endpoints that are joining or leaving.
    under_way: u64,
    results: (mpsc::UnboundedSender<Result<Joined>>, mpsc::UnboundedReceiver<Result<Joined>>),
    left: (mpsc::UnboundedSender<anyhow::Result<()>>, mpsc::UnboundedReceiver<anyhow::Result<()>>),
    setups: Setups,
}

impl<'a> Joins<'a> {
    /// `total` joins, `per_second` of them a second, spread evenly over the publishers.
    ///
    /// # Errors
    /// There is nobody to watch.
    pub fn new(joiner: &'a Joiner, publishers: usize, total: u64, per_second: f64, stay: Stay) -> anyhow::Result<Self> {
        ensure!(publishers > 0 || total == 0, "there is nobody to watch");
        Ok(Self {
            joiner,
            stay,
            publishers,
            total,
            interval_ns: (1e9 / per_second) as u64,
            started: 0,
            next_start_ns: None,
            next_turn_ns: 0,
            under_way: 0,
            results: mpsc::unbounded_channel(),
            left: mpsc::unbounded_channel(),
            setups: Setups::new()?,
        })
    }

    /// How the joins went.
    #[must_use]
    pub fn into_setups(self) -> Setups {
        self.setups
    }

    fn start_due(&mut self, now_ns: u64) {
        let mut next_ns = *self.next_start_ns.get_or_insert(now_ns);
        while self.started < self.total && next_ns <= now_ns {
            self.setups.span_ns.0 = self.setups.span_ns.0.min(now_ns);
            self.joiner.watch((self.started % self.publishers as u64) as usize, self.results.0.clone());
            self.started += 1;
            self.under_way += 1;
            next_ns += self.interval_ns;
        }
        self.next_start_ns = Some(next_ns);
    }

    fn note(&mut self, result: Result<Joined>, now_ns: u64, ends: &mut Ends) -> anyhow::Result<()> {
        self.setups.span_ns.1 = now_ns;
        let Joined { session, promised } = match result {
            Ok(joined) => joined,
            Err(error) => {
                self.under_way -= 1;
                self.setups.note_failure(&error);
                return Ok(());
            }
        };
        self.setups.note(&session.times());
        match self.stay {
            Stay::ForGood => {
                self.under_way -= 1;
                ends.join(session.into_parts(), vec![promised], now_ns)?;
            }
            Stay::Not => {
                let left = self.left.0.clone();
                self.joiner.runtime.spawn(async move { left.send(session.leave().await) });
            }
        }
        Ok(())
    }
}

impl Beside for Joins<'_> {
    fn turn(&mut self, now_ns: u64, ends: &mut Ends) -> anyhow::Result<()> {
        self.start_due(now_ns);
        if self.under_way == 0 && now_ns < self.next_turn_ns {
            return Ok(());
        }
        self.next_turn_ns = now_ns + IDLE_TURN_NS;
        self.joiner.runtime.block_on(tokio::task::yield_now());
        while let Ok(result) = self.results.1.try_recv() {
            self.note(result, now_ns, ends)?;
        }
        while let Ok(left) = self.left.1.try_recv() {
            self.under_way -= 1;
            left.context("somebody who left")?;
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.started < self.total || self.under_way > 0
    }
}
