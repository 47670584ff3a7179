//! Where the machine may send to a WebRTC participant, as the checks say that have arrived: written against RFC 8445,
//! RFC 7675 and what docs/rfc.md says of nomination, not against the machine.

use std::collections::{BTreeMap, BTreeSet};

use corecast_core::Path;
use corecast_wire::IceState;

use super::datagrams::{DatagramKind, kind_of};
use super::plan::CONSENT_NS;
use crate::sim::consumer::{Broken, check};
use crate::sim::numbers::MS;
use crate::sim::wire::is_rtcp;

/// How much later than due a timer may be served.
const LATE_NS: u64 = 50 * MS;

/// A participant's connectivity check, as it went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its transaction (RFC 8489 section 5).
    pub transaction: [u8; 12],
    /// The server's user fragment.
    pub fragment: String,
    /// It has USE-CANDIDATE.
    pub nominates: bool,
}

/// A STUN message's transaction.
#[must_use]
pub fn transaction(message: &[u8]) -> Option<[u8; 12]> {
    message.get(8..20)?.try_into().ok()
}

impl Check {
    /// Reads a Binding request of a participant.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        if message.get(..2)? != [0, 1] {
            return None;
        }
        let mut check = Self { transaction: transaction(message)?, fragment: String::new(), nominates: false };
        let mut rest = message.get(20..)?;
        while let Some((head, behind)) = rest.split_first_chunk::<4>() {
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            match u16::from_be_bytes([head[0], head[1]]) {
                0x0006 => {
                    let name = std::str::from_utf8(behind.get(..len)?).ok()?;
                    check.fragment = name.split(':').next()?.to_owned();
                }
                0x0025 => check.nominates = true,
                _ => {}
            }
            rest = behind.get(len.next_multiple_of(4)..)?;
        }
        Some(check)
    }
}

/// The paths of one transport.
#[derive(Debug, Default)]
pub struct Paths {
    /// When each was last checked.
    checked: BTreeMap<Path, u64>,
    /// The same of the machine before, until this one has told which of them it goes on with.
    before: BTreeMap<Path, u64>,
    /// When the last packet came along a valid path that may have been authentic and new: a sign of life as well.
    packet_ns: u64,
    selected: Option<Path>,
    /// Paths along which something came that only one who receives there can say: authentic media, or a handshake that
    /// has ended. More than the machine knows of, since what came may have been neither authentic nor new.
    proven: BTreeSet<Path>,
    /// Where the last media went.
    last_media: Option<Path>,
    /// No media has left since an outage: what came may have been too old to prove a path.
    doubtful: bool,
    /// Paths along which parts of the handshake have come; once it has ended, since then.
    handshake: BTreeSet<Path>,
    /// The handshake has ended.
    keyed: bool,
    /// Bytes that came and that left along each, but for the answers to checks.
    bytes: BTreeMap<Path, (usize, usize)>,
    /// Checks that may be answered.
    questions: BTreeMap<(Path, [u8; 12]), u32>,
    /// User fragments that the transport has had, and the one before the last that is good as well until a check with
    /// the last one nominates.
    fragments: Vec<String>,
    previous: Option<usize>,
    counts: Counts,
}

/// What has happened on the paths of one transport.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Checks with credentials that are no longer good.
    pub outdated: u64,
    /// Restarts that a check has completed.
    pub restarted: u64,
}

impl Paths {
    /// The transport has new credentials. The old ones are good until a check with the new ones nominates; in the
    /// middle of another restart, those that selected a path, else the newer ones.
    pub fn restart(&mut self, fragment: &str) {
        if self.previous.is_none() || self.selected.is_none() {
            self.previous = self.fragments.len().checked_sub(1);
        }
        self.fragments.push(fragment.to_owned());
    }

    /// Where media goes.
    #[must_use]
    pub const fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// The machine has died. The one that takes its place tells which path it knows, if any, and knows no other.
    pub fn crashed(&mut self) {
        self.selected = None;
        self.before = std::mem::take(&mut self.checked);
        self.doubtful = true;
    }

    /// What has happened so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether DTLS and media are taken from there.
    #[must_use]
    pub fn is_valid(&self, path: Path) -> bool {
        self.checked.contains_key(&path)
    }

    /// Whether media may have somewhere to go.
    #[must_use]
    pub fn has_proven(&self) -> bool {
        self.selected.is_some() && !self.proven.is_empty()
    }

    /// Whether that is not certain yet.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Whether media goes where is selected. What came along it may have been damaged, or a copy, and then proves
    /// nothing.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.selected.is_some_and(|path| self.proven.contains(&path) && self.last_media.is_none_or(|last| last == path))
    }

    /// The handshake has ended.
    pub fn keyed(&mut self) {
        self.proven.append(&mut self.handshake);
        self.keyed = true;
    }

    /// A check is about to arrive. Answers what must be selected when the machine has taken it in, if that is certain.
    pub fn arrive(&mut self, now_ns: u64, path: Path, check: &Check, len: usize) -> Option<Path> {
        let generation = self.fragments.iter().position(|known| *known == check.fragment)?;
        let newest = generation + 1 == self.fragments.len();
        if !newest && self.previous != Some(generation) {
            self.counts.outdated += 1;
            return None;
        }
        *self.questions.entry((path, check.transaction)).or_default() += 1;
        let known = self.checked.insert(path, now_ns).is_some();
        self.bytes.entry(path).or_default().0 += len;
        let restarted = newest && self.previous.is_some();
        if check.nominates && restarted {
            self.counts.restarted += 1;
            self.previous = None;
        }
        (check.nominates && (known || restarted || self.selected.is_none())).then_some(path)
    }

    /// Media, RTCP or a part of a handshake is about to arrive. Answers whether the path is proven by it.
    pub fn packet(&mut self, now_ns: u64, path: Path, datagram: &[u8]) -> bool {
        if !self.is_valid(path) {
            return false;
        }
        self.packet_ns = now_ns;
        self.bytes.entry(path).or_default().0 += datagram.len();
        match kind_of(datagram) {
            Some(DatagramKind::Media) => self.proven.insert(path),
            Some(DatagramKind::Dtls) => {
                self.handshake.insert(path);
                false
            }
            Some(DatagramKind::Stun) | None => false,
        }
    }

    /// Whether the machine may take a path for proven: also by DTLS after the handshake.
    fn may_be_proven(&self, path: Path) -> bool {
        self.proven.contains(&path) || self.keyed && self.handshake.contains(&path)
    }

    /// Counts what leaves. False if it is more than three times what came, along a path that nothing has proved.
    fn spend(&mut self, path: Path, len: usize) -> bool {
        let (came, left) = self.bytes.entry(path).or_default();
        *left += len;
        *left <= 3 * *came || self.may_be_proven(path)
    }

    /// When the other side may last have shown that it is there.
    fn last_sign_ns(&self) -> u64 {
        self.checked.values().copied().fold(self.packet_ns, u64::max)
    }

    /// The machine answers a check.
    ///
    /// # Errors
    /// If nobody has asked, there and with credentials that are good.
    pub fn answer(&mut self, path: Path, message: &[u8]) -> Result<(), Broken> {
        let question = transaction(message).and_then(|transaction| self.questions.get_mut(&(path, transaction)));
        let Some(question) = question.filter(|times| **times > 0) else {
            return Err(format!("sent STUN to {}, which has asked nothing", path.remote));
        };
        *question -= 1;
        Ok(())
    }

    /// DTLS leaves.
    ///
    /// # Errors
    /// If no check has validated the path, more leaves than may, or the other side has shown no sign of life for too
    /// long.
    pub fn handshake(&mut self, now_ns: u64, path: Path, len: usize) -> Result<(), Broken> {
        check!(self.spend(path, len), "sent more than three times what came from {}: {:?}", path.remote, self.bytes);
        check!(self.is_valid(path), "sent DTLS to {}, which no check has validated", path.remote);
        let since = now_ns - self.last_sign_ns();
        check!(since <= CONSENT_NS + LATE_NS, "sent DTLS {} ms after the last sign of life", since / MS);
        Ok(())
    }

    /// Media or RTCP leaves.
    ///
    /// # Errors
    /// If nothing has proved the path and it is not RTCP that may leave, or the other side has shown no sign of life
    /// for too long.
    pub fn media(&mut self, now_ns: u64, path: Path, datagram: &[u8]) -> Result<bool, Broken> {
        let may = self.spend(path, datagram.len()) && is_rtcp(datagram) && self.is_valid(path);
        let may = may || self.may_be_proven(path);
        let before = self.last_media;
        if !is_rtcp(datagram) {
            self.doubtful = false;
            self.last_media = Some(path);
        }
        check!(may, "sent media to {}, {:?} is selected, proven are {:?}", path.remote, self.selected, self.proven);
        let since = now_ns - self.last_sign_ns();
        check!(since <= CONSENT_NS + LATE_NS, "sent media {} ms after the last sign of life", since / MS);
        Ok(self.last_media != before)
    }

    /// The machine tells where the transport stands.
    ///
    /// # Errors
    /// If it selects what no check has validated, or gives up too early or too late.
    pub fn told(&mut self, now_ns: u64, state: IceState, selected: Option<Path>) -> Result<(), Broken> {
        if let Some(path) = selected {
            if let Some(checked_ns) = self.before.remove(&path) {
                self.checked.insert(path, checked_ns);
                self.packet_ns = now_ns;
            }
            check!(self.is_valid(path), "selected {}, which no check has validated", path.remote);
        }
        if state == IceState::Disconnected {
            let last_ns = self.checked.values().copied().max();
            let Some(last_ns) = last_ns else { return Err("lost a consent that it never had".to_owned()) };
            let since = now_ns - last_ns;
            check!(since >= CONSENT_NS, "lost consent {} ms after the last check", since / MS);
            let since = now_ns - self.last_sign_ns();
            check!(since <= CONSENT_NS + LATE_NS, "lost consent {} ms after the last sign of life", since / MS);
            self.checked.clear();
            self.proven.clear();
            self.doubtful = true;
            self.bytes.clear();
        }
        self.selected = selected;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use corecast_core::EndpointId;

    use super::*;

    fn path(port: u16) -> Path {
        Path { local: EndpointId(0), remote: ([10, 0, 0, 9], port).into() }
    }

    fn check(fragment: &str, number: u8, nominates: bool) -> Check {
        Check { transaction: [number; 12], fragment: fragment.to_owned(), nominates }
    }

    fn answer_to(check: &Check) -> Vec<u8> {
        [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &check.transaction].concat()
    }

    #[test]
    fn only_a_check_is_answered_and_once() {
        let mut paths = Paths::default();
        paths.restart("first");
        let one = check("first", 1, true);
        assert!(paths.answer(path(1), &answer_to(&one)).is_err());
        assert_eq!(paths.arrive(0, path(1), &one, 100), Some(path(1)));
        assert!(paths.answer(path(2), &answer_to(&one)).is_err(), "it came from elsewhere");
        assert!(paths.answer(path(1), &answer_to(&one)).is_ok());
        assert!(paths.answer(path(1), &answer_to(&one)).is_err());
    }

    #[test]
    fn old_credentials_are_good_until_the_new_ones_nominate() {
        let mut paths = Paths::default();
        paths.restart("first");
        paths.restart("second");
        assert!(paths.arrive(0, path(1), &check("first", 1, true), 100).is_some());
        assert!(paths.arrive(0, path(1), &check("second", 2, true), 100).is_some());
        let late = check("first", 3, true);
        assert_eq!(paths.arrive(0, path(1), &late, 100), None);
        assert!(paths.answer(path(1), &answer_to(&late)).is_err());
    }

    #[test]
    fn media_goes_where_is_selected_and_while_there_is_consent() {
        let mut paths = Paths::default();
        paths.restart("first");
        paths.arrive(0, path(1), &check("first", 1, true), 100);
        assert!(paths.told(0, IceState::Completed, Some(path(2))).is_err());
        assert!(paths.told(0, IceState::Completed, Some(path(1))).is_ok());
        let (rtp, rtcp) = ([0x80; 301], [&[0x80, 201][..], &[0; 298]].concat());
        assert!(paths.media(0, path(1), &rtp).is_err(), "a check proves nothing");
        assert!(paths.packet(0, path(1), &[0x80; 20]) && !paths.packet(0, path(1), &[0x80; 20]));
        assert!(paths.media(CONSENT_NS, path(1), &rtp).is_ok() && paths.media(0, path(3), &rtcp).is_err());
        paths.arrive(0, path(2), &check("first", 2, false), 100);
        assert!(paths.media(0, path(2), &rtcp).is_ok() && paths.media(0, path(2), &rtcp[..2]).is_err(), "300 of 300");
        assert!(paths.media(CONSENT_NS + LATE_NS + 1, path(1), &rtp).is_err());
        assert!(paths.told(CONSENT_NS - 1, IceState::Disconnected, None).is_err());
        assert!(paths.told(CONSENT_NS, IceState::Disconnected, None).is_ok());
        assert!(paths.handshake(CONSENT_NS, path(1), 1).is_err());
    }
}
