//! Where the machine may send to a WebRTC participant, as the checks say that have arrived: written against RFC 8445,
//! RFC 7675 and what docs/rfc.md says of nomination, not against the machine.

use std::collections::BTreeMap;

use corecast_core::Path;
use corecast_wire::IceState;

use super::plan::CONSENT_NS;
use crate::sim::consumer::{Broken, check};
use crate::sim::numbers::MS;

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
    /// When the last packet came along a valid path that may have been authentic and new: a sign of life as well.
    packet_ns: u64,
    selected: Option<Path>,
    /// What was selected since the outbox was last emptied.
    lately: Vec<Path>,
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

    /// A check is about to arrive. Answers what must be selected when the machine has taken it in, if that is certain.
    pub fn arrive(&mut self, now_ns: u64, path: Path, check: &Check) -> Option<Path> {
        let generation = self.fragments.iter().position(|known| *known == check.fragment)?;
        let newest = generation + 1 == self.fragments.len();
        if !newest && self.previous != Some(generation) {
            self.counts.outdated += 1;
            return None;
        }
        *self.questions.entry((path, check.transaction)).or_default() += 1;
        let known = self.checked.insert(path, now_ns).is_some();
        let restarted = newest && self.previous.is_some();
        if check.nominates && restarted {
            self.counts.restarted += 1;
            self.previous = None;
        }
        (check.nominates && (known || restarted || self.selected.is_none())).then_some(path)
    }

    /// Media or RTCP is about to arrive.
    pub fn packet(&mut self, now_ns: u64, path: Path) {
        if self.is_valid(path) {
            self.packet_ns = now_ns;
        }
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
    /// If no check has validated the path, or the other side has shown no sign of life for too long.
    pub fn handshake(&self, now_ns: u64, path: Path) -> Result<(), Broken> {
        check!(self.is_valid(path), "sent DTLS to {}, which no check has validated", path.remote);
        let since = now_ns - self.last_sign_ns();
        check!(since <= CONSENT_NS + LATE_NS, "sent DTLS {} ms after the last sign of life", since / MS);
        Ok(())
    }

    /// Media or RTCP leaves.
    ///
    /// # Errors
    /// If the path is not selected, or the other side has shown no sign of life for too long.
    pub fn media(&self, now_ns: u64, path: Path) -> Result<(), Broken> {
        check!(self.lately.contains(&path), "sent media to {}, {:?} is selected", path.remote, self.selected);
        let since = now_ns - self.last_sign_ns();
        check!(since <= CONSENT_NS + LATE_NS, "sent media {} ms after the last sign of life", since / MS);
        Ok(())
    }

    /// The outbox is empty.
    pub fn flushed(&mut self) {
        self.lately.clear();
        self.lately.extend(self.selected);
    }

    /// The machine tells where the transport stands.
    ///
    /// # Errors
    /// If it selects what no check has validated, or gives up too early or too late.
    pub fn told(&mut self, now_ns: u64, state: IceState, selected: Option<Path>) -> Result<(), Broken> {
        if let Some(path) = selected {
            check!(self.is_valid(path), "selected {}, which no check has validated", path.remote);
            self.lately.push(path);
        }
        if state == IceState::Disconnected {
            let last_ns = self.checked.values().copied().max();
            let Some(last_ns) = last_ns else { return Err("lost a consent that it never had".to_owned()) };
            let since = now_ns - last_ns;
            check!(since >= CONSENT_NS, "lost consent {} ms after the last check", since / MS);
            let since = now_ns - self.last_sign_ns();
            check!(since <= CONSENT_NS + LATE_NS, "lost consent {} ms after the last sign of life", since / MS);
            self.checked.clear();
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
        assert_eq!(paths.arrive(0, path(1), &one), Some(path(1)));
        assert!(paths.answer(path(2), &answer_to(&one)).is_err(), "it came from elsewhere");
        assert!(paths.answer(path(1), &answer_to(&one)).is_ok());
        assert!(paths.answer(path(1), &answer_to(&one)).is_err());
    }

    #[test]
    fn old_credentials_are_good_until_the_new_ones_nominate() {
        let mut paths = Paths::default();
        paths.restart("first");
        paths.restart("second");
        assert!(paths.arrive(0, path(1), &check("first", 1, true)).is_some());
        assert!(paths.arrive(0, path(1), &check("second", 2, true)).is_some());
        let late = check("first", 3, true);
        assert_eq!(paths.arrive(0, path(1), &late), None);
        assert!(paths.answer(path(1), &answer_to(&late)).is_err());
    }

    #[test]
    fn media_goes_where_is_selected_and_while_there_is_consent() {
        let mut paths = Paths::default();
        paths.restart("first");
        paths.arrive(0, path(1), &check("first", 1, true));
        assert!(paths.told(0, IceState::Completed, Some(path(2))).is_err());
        assert!(paths.told(0, IceState::Completed, Some(path(1))).is_ok());
        assert!(paths.media(CONSENT_NS, path(1)).is_ok() && paths.media(0, path(2)).is_err());
        assert!(paths.media(CONSENT_NS + LATE_NS + 1, path(1)).is_err());
        assert!(paths.told(CONSENT_NS - 1, IceState::Disconnected, None).is_err());
        assert!(paths.told(CONSENT_NS, IceState::Disconnected, None).is_ok());
        assert!(paths.handshake(CONSENT_NS, path(1)).is_err());
    }
}
