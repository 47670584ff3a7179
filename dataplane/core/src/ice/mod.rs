//! ICE of one transport: the lite, controlled side (RFC 8445 sections 2.5, 6.1.1 and 7.3.2), which answers checks and
//! never sends any.
//!
//! Owns the transport's credentials, the paths that checks have validated, and which of them is selected. Learns
//! nothing from a message that MESSAGE-INTEGRITY has not proved, and answers no other one (RFC 8445 section 19.5.1: no
//! amplification). Never looks at DTLS or media, and never at a clock: its owner asks [`Ice::last_sign_of_life`]
//! and calls [`Ice::expire`].
//!
//! **Destination.** Media goes along the selected path once something has shown that the other side receives there
//! ([`Proof`]); until then along the proven path that it went before, or one that is alive.
//!
//! **Selection.** The controlling side nominates with USE-CANDIDATE. One that nominates what it has checked before has
//! made its choice and is followed at once, also to a lower priority: so libwebrtc moves from a network that fails
//! (towards a lite agent it nominates its selected connection and no other), and mediasoup follows the same way. One
//! that nominates with its very first check of a path is aggressive (RFC 5245 section 8.1.1.2) and will do so with all
//! of them: there the higher PRIORITY wins. NOMINATION, if it comes (libwebrtc's renomination), is followed when it
//! grows.
//!
//! **Life.** Any authenticated check or packet on a valid path is a sign of life of the other side, whichever path is
//! selected: a NAT that forgets gives the client another port, and many clients (libnice, aioice) nominate nothing then
//! and send no more checks, but media and reports. If the selected path has been silent for [`SILENCE`] and another
//! one is alive, that one is selected.
//!
//! **Restart** (RFC 8445 section 9). Old and new credentials are both good until a check with the new ones nominates;
//! until then the selected path stays. Paths that the old ones validated stay until they are evicted, as in mediasoup.

mod tuple;

use std::time::Duration;

use corecast_wire::{Discard, IceParameters, IceProtocol, IceState};

use crate::io::{EndpointId, Path};
use crate::limits::MAX_TUPLES;
use crate::stun::{self, BINDING, Class, ErrorCode, Message, Password};
use crate::time::Instant;
use tuple::{Proof, Tuple};

/// Silence of the selected path after which another path that is alive takes its place. Clients send reports about
/// once a second, and checks every 2.5 s (libwebrtc) to 6 s (RFC 7675 section 5.1).
const SILENCE: Duration = Duration::from_secs(4);
/// Silence of a path after which a check may give it to another transport: longer than any client is silent.
const ABANDONED: Duration = Duration::from_secs(10);

/// One transport's ICE agent.
#[derive(Debug)]
pub(crate) struct Ice {
    current: Credentials,
    /// Those before a restart, until it is complete. While they are here, what is selected was nominated with them.
    previous: Option<Credentials>,
    /// At most [`MAX_TUPLES`].
    tuples: Vec<Tuple>,
    selected: Option<(Path, IceProtocol)>,
    /// Along which media goes: proven, and only while one is selected.
    destination: Option<Path>,
    state: IceState,
}

/// What a check is made with.
#[derive(Debug)]
struct Credentials {
    fragment: String,
    password: Password,
    /// Highest NOMINATION that came with them. 0 for none.
    nomination: u32,
}

impl Credentials {
    fn new(parameters: &IceParameters) -> Self {
        let fragment = parameters.username_fragment.clone();
        Self { fragment, password: Password::new(&parameters.password), nomination: 0 }
    }
}

/// What an authentic check changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Bytes of the answer, which goes back the path that the check came.
    pub(crate) answer_len: usize,
    /// The path is new. False as well if the answer is an error: then nothing has changed.
    pub(crate) added: bool,
    /// A path that is no longer valid, to make room.
    pub(crate) evicted: Option<Path>,
    /// See [`Ice::selected`].
    pub(crate) selected_changed: bool,
    /// See [`Ice::destination`].
    pub(crate) destination_changed: bool,
    /// See [`Ice::state`].
    pub(crate) state_changed: bool,
    /// A restart is complete: this username fragment is no longer good.
    pub(crate) forgotten: Option<String>,
}

/// What has changed because an endpoint has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Paths that are no longer valid.
    pub(crate) paths: Vec<Path>,
    /// See [`Ice::selected`].
    pub(crate) selected_changed: bool,
    /// There is no destination until the next sign of life.
    pub(crate) destination_gone: bool,
    /// See [`Ice::state`].
    pub(crate) state_changed: bool,
}

/// What an authenticated packet changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// See [`Ice::selected`].
    pub(crate) selected_changed: bool,
    /// See [`Ice::destination`].
    pub(crate) destination_changed: bool,
}

/// Which credentials a check was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Current,
    Previous,
}

impl Ice {
    /// An agent that has seen nothing.
    pub(crate) fn new(parameters: &IceParameters) -> Self {
        Self {
            current: Credentials::new(parameters),
            previous: None,
            tuples: Vec::with_capacity(MAX_TUPLES),
            selected: None,
            destination: None,
            state: IceState::New,
        }
    }

    /// New credentials. The old ones stay good until a check with the new ones nominates. In the middle of another
    /// restart only one pair of old ones stays: those with which the selected path was nominated, else the newer ones;
    /// the fragment of the other is returned and no longer good.
    pub(crate) fn restart(&mut self, parameters: &IceParameters) -> Option<String> {
        let unfinished = std::mem::replace(&mut self.current, Credentials::new(parameters));
        if self.previous.is_some() && self.selected.is_some() {
            return Some(unfinished.fragment);
        }
        self.previous.replace(unfinished).map(|old| old.fragment)
    }

    /// Username fragments of checks that belong here: the current one, and the previous one while it is good.
    pub(crate) fn fragments(&self) -> impl Iterator<Item = &str> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().map(|known| known.fragment.as_str())
    }

    /// Takes in a message that came along `path` and writes the answer. An authentic request that cannot be served is
    /// answered with an error and changes nothing.
    ///
    /// # Errors
    /// Why the message is passed over in silence: it is no Binding request with FINGERPRINT, its fragment is not ours,
    /// its integrity is missing or wrong, or `answer` is too short ([`crate::limits::MAX_STUN_ANSWER_BYTES`]).
    pub(crate) fn handle_check(
        &mut self,
        now: Instant,
        path: Path,
        protocol: IceProtocol,
        message: &Message<'_>,
        answer: &mut [u8],
    ) -> Result<Checked, Discard> {
        let generation = self.authenticate(message)?;
        let credentials = self.credentials(generation).ok_or(Discard::UnknownUsername)?;
        let priority = match serve(message) {
            Ok(priority) => priority,
            Err(error) => {
                let len = stun::write_error(answer, message, error, &credentials.password);
                return Ok(Checked { answer_len: len.ok_or(Discard::OutboxFull)?, ..Checked::default() });
            }
        };
        let answer_len = stun::write_success(answer, message, path.remote, &credentials.password);
        let mut checked = Checked { answer_len: answer_len.ok_or(Discard::OutboxFull)?, ..Checked::default() };
        let before = self.state;
        (checked.added, checked.evicted) = self.validate(Tuple::new(path, protocol, priority, now));
        if self.nominates(message, path, priority, checked.added, generation) {
            checked.selected_changed = self.selected != Some((path, protocol));
            self.selected = Some((path, protocol));
            self.state = IceState::Completed;
            if generation == Generation::Current {
                checked.forgotten = self.previous.take().map(|old| old.fragment);
            }
        } else if matches!(before, IceState::New | IceState::Disconnected) {
            self.state = IceState::Connected;
        }
        checked.selected_changed |= self.replace_silent(now, path);
        checked.destination_changed = self.settle(now);
        checked.state_changed = self.state != before;
        Ok(checked)
    }

    /// Whether a check has come along this path: DTLS, RTP and RTCP may.
    pub(crate) fn is_valid(&self, path: Path) -> bool {
        self.tuples.iter().any(|tuple| tuple.path == path)
    }

    /// The path that the other side has nominated, or that has taken the place of that one.
    pub(crate) const fn selected(&self) -> Option<(Path, IceProtocol)> {
        self.selected
    }

    /// Where media goes, if anywhere. See the head of the module.
    pub(crate) const fn destination(&self) -> Option<Path> {
        self.destination
    }

    /// Goes on along the path along which an agent sent that is no more, with the same credentials.
    pub(crate) fn restore(&mut self, now: Instant, path: Path, protocol: IceProtocol) {
        let mut tuple = Tuple::new(path, protocol, 0, now);
        tuple.prove(Proof::Handshake);
        self.tuples = vec![tuple];
        (self.selected, self.state) = (Some((path, protocol)), IceState::Completed);
        self.settle(now);
    }

    /// How far it has come.
    pub(crate) const fn state(&self) -> IceState {
        self.state
    }

    /// An authenticated packet has come along a valid path.
    pub(crate) fn record_packet(&mut self, now: Instant, path: Path) -> Moved {
        if let Some(tuple) = self.tuple_mut(path) {
            tuple.alive = now;
            tuple.prove(Proof::Packets);
        }
        let selected_changed = self.replace_silent(now, path);
        Moved { selected_changed, destination_changed: self.settle(now) }
    }

    /// A DTLS handshake has ended that went along this path in both directions.
    pub(crate) fn record_handshake(&mut self, now: Instant, path: Path) {
        if let Some(tuple) = self.tuple_mut(path) {
            tuple.prove(Proof::Handshake);
        }
        self.settle(now);
    }

    /// A check or a part of a handshake has come along a valid path, and an answer of so many bytes left at once.
    pub(crate) fn count_received(&mut self, path: Path, bytes: usize, answer: usize) {
        if let Some(tuple) = self.tuple_mut(path) {
            tuple.count_received(bytes, answer);
        }
    }

    /// Whether so many bytes may leave along a valid path: it is proven, or they are few enough.
    pub(crate) fn may_send(&self, path: Path, bytes: usize) -> bool {
        self.tuples.iter().any(|tuple| tuple.path == path && tuple.may_send(bytes))
    }

    /// The same. If they may, they are counted.
    pub(crate) fn spend(&mut self, path: Path, bytes: usize) -> bool {
        self.tuple_mut(path).is_some_and(|tuple| tuple.spend(bytes))
    }

    /// Media has left since the last call. Returns whether the destination is another one now, because no packet has
    /// come from there for long.
    pub(crate) fn record_media(&mut self, now: Instant) -> bool {
        if let Some(tuple) = self.destination.and_then(|path| self.tuple_mut(path)) {
            tuple.record_media(now);
        }
        self.settle(now)
    }

    fn tuple_mut(&mut self, path: Path) -> Option<&mut Tuple> {
        self.tuples.iter_mut().find(|tuple| tuple.path == path)
    }

    /// Chooses where media goes. Returns whether that is another path than before.
    fn settle(&mut self, now: Instant) -> bool {
        let before = self.destination;
        let known = |path: Path| self.tuples.iter().find(|tuple| tuple.path == path);
        self.destination = self.selected.and_then(|(selected, _)| {
            let selected = known(selected).filter(|tuple| tuple.is_proven());
            let last = || before.and_then(known).filter(|tuple| tuple.is_of_use(now));
            let others = || self.tuples.iter().filter(|tuple| tuple.is_of_use(now)).max_by_key(|tuple| tuple.alive);
            selected.or_else(last).or_else(others).map(|tuple| tuple.path)
        });
        self.destination != before
    }

    /// Selects `path`, along which a sign of life has just come, if the selected one is silent.
    fn replace_silent(&mut self, now: Instant, path: Path) -> bool {
        let Some((selected, _)) = self.selected.filter(|(selected, _)| *selected != path) else { return false };
        let is_silent = |tuple: &Tuple| now.since(tuple.alive) > SILENCE;
        if self.tuples.iter().any(|tuple| tuple.path == selected && !is_silent(tuple)) {
            return false;
        }
        let Some(alive) = self.tuples.iter().find(|tuple| tuple.path == path) else { return false };
        self.selected = Some((path, alive.protocol));
        true
    }

    /// Whether a valid path has been silent for so long that its address may be another client's by now.
    pub(crate) fn has_abandoned(&self, now: Instant, path: Path) -> bool {
        self.tuples.iter().all(|tuple| tuple.path != path || now.since(tuple.alive) > ABANDONED)
    }

    /// When the other side last showed that it is there, on any path (consent, RFC 7675 section 5.1). None if there is
    /// no valid path.
    pub(crate) fn last_sign_of_life(&self) -> Option<Instant> {
        self.tuples.iter().map(|tuple| tuple.alive).max()
    }

    /// The other side has been silent for too long: no path is valid, nothing is selected. A check brings the
    /// transport back.
    pub(crate) fn expire(&mut self) {
        self.tuples.clear();
        (self.selected, self.destination) = (None, None);
        self.lose();
    }

    /// An endpoint has gone, and with it its paths. If the selected one is among them nothing is selected until the
    /// other side nominates again.
    pub(crate) fn forget_endpoint(&mut self, local: EndpointId) -> Gone {
        let before = (self.selected, self.state);
        let paths: Vec<_> = self.paths().filter(|path| path.local == local).collect();
        self.tuples.retain(|tuple| tuple.path.local != local);
        self.selected = self.selected.filter(|(path, _)| path.local != local);
        let destination = self.destination;
        self.destination = destination.filter(|path| path.local != local && self.selected.is_some());
        if self.tuples.is_empty() {
            self.lose();
        } else if self.selected.is_none() {
            self.state = IceState::Connected;
        }
        Gone {
            paths,
            selected_changed: self.selected != before.0,
            destination_gone: self.destination != destination,
            state_changed: self.state != before.1,
        }
    }

    /// The valid paths, at most [`MAX_TUPLES`].
    pub(crate) fn paths(&self) -> impl Iterator<Item = Path> {
        self.tuples.iter().map(|tuple| tuple.path)
    }

    /// There is no path left. What was nominated before no longer binds the other side (as in mediasoup).
    fn lose(&mut self) {
        self.current.nomination = 0;
        if let Some(previous) = &mut self.previous {
            previous.nomination = 0;
        }
        if self.state != IceState::New {
            self.state = IceState::Disconnected;
        }
    }

    const fn credentials(&self, generation: Generation) -> Option<&Credentials> {
        match generation {
            Generation::Current => Some(&self.current),
            Generation::Previous => self.previous.as_ref(),
        }
    }

    /// Cheapest first: message type, username, then the HMAC.
    fn authenticate(&self, message: &Message<'_>) -> Result<Generation, Discard> {
        // Every check has FINGERPRINT (RFC 8445 section 7.1.1).
        if (message.class(), message.method()) != (Class::Request, BINDING) || !message.has_fingerprint() {
            return Err(Discard::MalformedStun);
        }
        // Ours comes first (RFC 8445 section 7.2.2). The other half is the sender's own.
        let (fragment, _) = message.fragments().ok_or(Discard::UnknownUsername)?;
        let generation = if fragment == self.current.fragment {
            Generation::Current
        } else if self.previous.as_ref().is_some_and(|previous| fragment == previous.fragment) {
            Generation::Previous
        } else {
            return Err(Discard::UnknownUsername);
        };
        let authentic = self.credentials(generation).is_some_and(|known| message.verify(&known.password));
        if authentic { Ok(generation) } else { Err(Discard::StunIntegrityFailed) }
    }

    /// Records that a check came along a path. Returns whether the path is new, and which one had to go for it: the one
    /// without proof that has been silent for longest, else the proven one, and never the selected one.
    fn validate(&mut self, tuple: Tuple) -> (bool, Option<Path>) {
        if let Some(known) = self.tuples.iter_mut().find(|known| known.path == tuple.path) {
            (known.protocol, known.priority, known.alive) = (tuple.protocol, tuple.priority, tuple.alive);
            return (false, None);
        }
        let mut evicted = None;
        if self.tuples.len() >= MAX_TUPLES {
            let selected = self.selected.map(|(path, _)| path);
            let others = self.tuples.iter().enumerate().filter(|(_, other)| Some(other.path) != selected);
            if let Some((position, _)) = others.min_by_key(|(_, other)| (other.is_proven(), other.alive)) {
                evicted = Some(self.tuples.remove(position).path);
            }
        }
        self.tuples.push(tuple);
        (true, evicted)
    }

    /// Whether this check decides where media goes. See the head of the module.
    fn nominates(
        &mut self,
        message: &Message<'_>,
        path: Path,
        priority: u32,
        added: bool,
        generation: Generation,
    ) -> bool {
        if let Some(nomination) = message.nomination() {
            let credentials = match (generation, &mut self.previous) {
                (Generation::Previous, Some(previous)) => previous,
                _ => &mut self.current,
            };
            let grown = nomination > credentials.nomination;
            credentials.nomination = credentials.nomination.max(nomination);
            return grown;
        }
        if !message.use_candidate() {
            return false;
        }
        let selected = self.tuples.iter().find(|tuple| self.selected.is_some_and(|(path, _)| path == tuple.path));
        let restarted = generation == Generation::Current && self.previous.is_some();
        selected.is_none_or(|selected| selected.path == path || restarted || !added || priority >= selected.priority)
    }
}

/// The priority of an authentic request, or how it is refused.
fn serve(message: &Message<'_>) -> Result<u32, ErrorCode> {
    // RFC 8489 section 6.3.1.
    if !message.unknown().is_empty() {
        return Err(ErrorCode::UnknownAttribute);
    }
    // We are always controlled and cannot change that, so the other side must, whatever the tie-breakers say.
    if message.controlled().is_some() {
        return Err(ErrorCode::RoleConflict);
    }
    // RFC 8445 section 7.1.1 wants it, but FFmpeg 8.0 does not send it, and a lite side has hardly a use for it.
    Ok(message.priority().unwrap_or(0))
}

#[cfg(test)]
mod tests;
