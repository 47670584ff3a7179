//! Checks as a controlling side sends them, and what somebody else could.

use std::time::Duration;

use super::*;
use crate::limits::MAX_STUN_ANSWER_BYTES;
use crate::stun::{Writer, attribute, parse};

const UDP: EndpointId = EndpointId(3);
const TCP: EndpointId = EndpointId(9);
const OLD: (&str, &str) = ("oldfragment", "passwordOfTheFirstRound1");
const NEW: (&str, &str) = ("newfragment", "passwordOfTheSecondRound");
const THIRD: (&str, &str) = ("thirdfragment", "passwordOfTheThirdRound1");

fn parameters((fragment, password): (&str, &str)) -> IceParameters {
    IceParameters { username_fragment: fragment.to_owned(), password: password.to_owned() }
}

fn path(port: u16) -> Path {
    Path { local: UDP, remote: ([192, 0, 2, 1], port).into() }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_millis(ms)
}

/// A check and the agent that gets it.
#[derive(Clone)]
struct Check {
    credentials: (&'static str, &'static str),
    path: Path,
    protocol: IceProtocol,
    priority: Option<u32>,
    nominate: bool,
    nomination: Option<u32>,
    role: u16,
    extra: Option<u16>,
}

/// From a port, with priority 100, as the controlling side.
fn check(port: u16) -> Check {
    Check {
        credentials: OLD,
        path: path(port),
        protocol: IceProtocol::Udp,
        priority: Some(100),
        nominate: false,
        nomination: None,
        role: attribute::ICE_CONTROLLING,
        extra: None,
    }
}

impl Check {
    fn nominating(self) -> Self {
        Self { nominate: true, ..self }
    }

    fn priority(self, priority: u32) -> Self {
        Self { priority: Some(priority), ..self }
    }

    fn with(self, credentials: (&'static str, &'static str)) -> Self {
        Self { credentials, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = [0; 256];
        let mut writer = Writer::request(&mut out, b"transaction!").unwrap();
        writer.push(attribute::USERNAME, format!("{}:theirs", self.credentials.0).as_bytes()).unwrap();
        writer.push(self.role, &[7; 8]).unwrap();
        if self.nominate {
            writer.push(attribute::USE_CANDIDATE, &[]).unwrap();
        }
        if let Some(nomination) = self.nomination {
            writer.push(attribute::NOMINATION, &nomination.to_be_bytes()).unwrap();
        }
        if let Some(priority) = self.priority {
            writer.push(attribute::PRIORITY, &priority.to_be_bytes()).unwrap();
        }
        if let Some(kind) = self.extra {
            writer.push(kind, &[1]).unwrap();
        }
        writer.push_integrity(&Password::new(self.credentials.1)).unwrap();
        writer.push_fingerprint().unwrap();
        let len = writer.len();
        out[..len].to_vec()
    }

    /// Sends it. The answer must be authentic and belong to it.
    fn send_at(&self, ice: &mut Ice, now: Instant) -> Result<(Checked, Class), Discard> {
        let bytes = self.bytes();
        let mut answer = [0; MAX_STUN_ANSWER_BYTES];
        let checked = ice.handle_check(now, self.path, self.protocol, &parse(&bytes).unwrap(), &mut answer)?;
        let message = parse(&answer[..checked.answer_len]).unwrap();
        assert!(message.verify(&Password::new(self.credentials.1)) && message.has_fingerprint());
        assert_eq!(message.transaction(), b"transaction!");
        Ok((checked, message.class()))
    }

    /// Sends it, and it succeeds.
    fn send(&self, ice: &mut Ice) -> Checked {
        let (checked, class) = self.send_at(ice, at(1)).unwrap();
        assert_eq!(class, Class::Success);
        checked
    }
}

fn agent() -> Ice {
    Ice::new(&parameters(OLD))
}

fn selected(ice: &Ice) -> Option<u16> {
    ice.selected().map(|(path, _)| path.remote.port())
}

#[test]
fn from_new_to_completed() {
    let mut ice = agent();
    assert_eq!((ice.state(), ice.last_sign_of_life(), ice.selected()), (IceState::New, None, None));
    assert!(!ice.is_valid(path(1)));

    let first = check(1).send(&mut ice);
    assert!(first.added && first.state_changed && !first.selected_changed);
    assert_eq!((ice.state(), ice.selected()), (IceState::Connected, None), "valid, not nominated");
    assert!(ice.is_valid(path(1)) && !ice.is_valid(path(2)));
    assert!(!ice.is_valid(Path { local: TCP, ..path(1) }), "a path has two ends");

    let again = check(1).send(&mut ice);
    assert!(!again.added && !again.state_changed);

    let nominated = check(1).nominating().send(&mut ice);
    assert!(!nominated.added && nominated.state_changed && nominated.selected_changed);
    assert_eq!((ice.state(), ice.selected()), (IceState::Completed, Some((path(1), IceProtocol::Udp))));

    let kept = check(1).nominating().send(&mut ice);
    assert_eq!(kept, Checked { answer_len: kept.answer_len, ..Checked::default() }, "nothing changes twice");
}

#[test]
fn nomination_by_the_first_check_completes_at_once() {
    let mut ice = agent();
    let checked = check(1).nominating().send(&mut ice);
    assert!(checked.added && checked.selected_changed && checked.state_changed);
    assert_eq!((ice.state(), selected(&ice)), (IceState::Completed, Some(1)));
}

/// RFC 8489 section 6.3.1.1: the answer says where the check came from.
#[test]
fn answers_carry_the_senders_address() {
    for remote in ["192.0.2.7:4711", "[2001:db8::7]:4711"] {
        let mut ice = agent();
        let mut check = check(1);
        check.path.remote = remote.parse().unwrap();
        let bytes = check.bytes();
        let request = parse(&bytes).unwrap();
        let (mut answer, mut expected) = ([0; MAX_STUN_ANSWER_BYTES], [0; MAX_STUN_ANSWER_BYTES]);
        let checked = ice.handle_check(at(1), check.path, IceProtocol::Udp, &request, &mut answer).unwrap();
        let len = stun::write_success(&mut expected, &request, check.path.remote, &Password::new(OLD.1));
        assert_eq!((Some(checked.answer_len), answer), (len, expected));
    }
}

/// What has not been proved is answered by nothing and changes nothing.
#[test]
fn what_is_not_authentic_changes_nothing() {
    let password = Password::new(OLD.1);
    let good = check(1).nominating();
    let write = |class, method, fragment: &str, sign: bool, fingerprint: bool| {
        let mut out = [0; 256];
        let mut writer = Writer::new(&mut out, class, method, b"transaction!").unwrap();
        writer.push(attribute::USERNAME, fragment.as_bytes()).unwrap();
        writer.push(attribute::PRIORITY, &[1; 4]).unwrap();
        writer.push(attribute::USE_CANDIDATE, &[]).unwrap();
        if sign {
            writer.push_integrity(&password).unwrap();
        }
        if fingerprint {
            writer.push_fingerprint().unwrap();
        }
        let len = writer.len();
        out[..len].to_vec()
    };
    let ours = "oldfragment:theirs";
    let cases = [
        (write(Class::Request, BINDING, "other:theirs", true, true), Discard::UnknownUsername),
        (write(Class::Request, BINDING, "theirs:oldfragment", true, true), Discard::UnknownUsername),
        (write(Class::Request, BINDING, "oldfragment", true, true), Discard::UnknownUsername),
        (write(Class::Request, BINDING, "oldfragmen:t", true, true), Discard::UnknownUsername),
        (write(Class::Request, BINDING, ":", true, true), Discard::UnknownUsername),
        (write(Class::Request, BINDING, ours, false, true), Discard::StunIntegrityFailed),
        (write(Class::Request, BINDING, ours, true, false), Discard::MalformedStun),
        (write(Class::Request, 3, ours, true, true), Discard::MalformedStun),
        (write(Class::Indication, BINDING, ours, true, true), Discard::MalformedStun),
        (write(Class::Success, BINDING, ours, true, true), Discard::MalformedStun),
        (write(Class::Error, BINDING, ours, true, true), Discard::MalformedStun),
        (good.clone().with((OLD.0, NEW.1)).bytes(), Discard::StunIntegrityFailed),
        (good.clone().with((OLD.0, "")).bytes(), Discard::StunIntegrityFailed),
        (good.with(NEW).bytes(), Discard::UnknownUsername),
    ];
    let mut ice = agent();
    for (bytes, reason) in cases {
        let mut answer = [0xee; MAX_STUN_ANSWER_BYTES];
        let taken = ice.handle_check(at(1), path(1), IceProtocol::Udp, &parse(&bytes).unwrap(), &mut answer);
        assert_eq!((taken, answer), (Err(reason), [0xee; MAX_STUN_ANSWER_BYTES]));
        assert_eq!((ice.state(), ice.last_sign_of_life(), ice.paths().count()), (IceState::New, None, 0));
    }
}

#[test]
fn what_cannot_be_served_is_answered_and_changes_nothing() {
    let nominating = check(1).nominating();
    let cases = [
        (Check { role: attribute::ICE_CONTROLLED, ..nominating.clone() }, b"\0\0\x04\x57"),
        (Check { extra: Some(0x0003), ..nominating.clone() }, b"\0\0\x04\x14"),
        (Check { extra: Some(0x0003), role: attribute::ICE_CONTROLLED, ..nominating }, b"\0\0\x04\x14"),
    ];
    for (check, error) in cases {
        let mut ice = agent();
        let (checked, class) = check.send_at(&mut ice, at(1)).unwrap();
        assert_eq!(class, Class::Error);
        assert_eq!(checked, Checked { answer_len: checked.answer_len, ..Checked::default() });
        assert_eq!((ice.state(), ice.last_sign_of_life(), ice.paths().count()), (IceState::New, None, 0));
        let mut answer = [0; MAX_STUN_ANSWER_BYTES];
        let bytes = check.bytes();
        ice.handle_check(at(1), check.path, IceProtocol::Udp, &parse(&bytes).unwrap(), &mut answer).unwrap();
        assert_eq!(answer[24..28], *error);
    }
}

/// Neither role: a sender that is older than ICE's roles is no conflict (RFC 8445 section 7.3.1.1).
#[test]
fn a_check_without_a_role_is_taken() {
    let mut ice = agent();
    let checked = Check { role: 0x8022, ..check(1).nominating() }.send(&mut ice);
    assert!(checked.selected_changed);
}

#[test]
fn an_answer_that_does_not_fit_changes_nothing() {
    let mut ice = agent();
    for check in [check(1), Check { priority: None, ..check(1) }] {
        let bytes = check.bytes();
        let taken = ice.handle_check(at(1), path(1), IceProtocol::Udp, &parse(&bytes).unwrap(), &mut [0; 40]);
        assert_eq!((taken, ice.paths().count()), (Err(Discard::OutboxFull), 0));
    }
}

#[test]
fn a_ninth_path_evicts_the_one_longest_without_a_check() {
    let mut ice = agent();
    check(1).nominating().send_at(&mut ice, at(0)).unwrap();
    for port in 2..=8 {
        let (checked, _) = check(port).send_at(&mut ice, at(u64::from(port))).unwrap();
        assert!(checked.added && checked.evicted.is_none());
    }
    check(2).send_at(&mut ice, at(20)).unwrap();
    // 1 is selected and 2 was checked again.
    for (port, evicted) in [(9, 3), (10, 4), (11, 5)] {
        let (checked, _) = check(port).send_at(&mut ice, at(20 + u64::from(port))).unwrap();
        assert_eq!(checked.evicted, Some(path(evicted)));
        assert!(!ice.is_valid(path(evicted)) && ice.is_valid(path(port)));
        assert_eq!(ice.paths().count(), MAX_TUPLES);
    }
    assert_eq!(selected(&ice), Some(1));
}

/// Somebody who has the credentials checks from thousands of ports.
#[test]
fn a_flood_of_paths_is_bounded_and_leaves_the_selected_one() {
    let mut ice = agent();
    check(1).nominating().send(&mut ice);
    for port in 2..5_000 {
        // Within the time for which the selected path may be silent.
        let (checked, _) = check(port).send_at(&mut ice, at(u64::from(port) / 2)).unwrap();
        assert!(checked.added && !checked.selected_changed);
        assert_eq!(checked.evicted.is_some(), port > 8);
        assert!(ice.paths().count() <= MAX_TUPLES && ice.is_valid(path(1)));
    }
    assert_eq!(selected(&ice), Some(1));
}

#[test]
fn who_nominates_what_was_checked_before_is_followed_also_downwards() {
    let mut ice = agent();
    check(1).priority(200).send(&mut ice);
    check(2).priority(100).send(&mut ice);
    for port in [1, 2, 1, 2] {
        let priority = if port == 1 { 200 } else { 100 };
        assert!(check(port).priority(priority).nominating().send(&mut ice).selected_changed);
        assert_eq!(selected(&ice), Some(port));
    }
}

#[test]
fn of_aggressive_nominations_the_highest_priority_wins() {
    let mut ice = agent();
    for (port, priority, expected) in [(1, 100, 1), (2, 50, 1), (3, 100, 3), (4, 300, 4), (5, 299, 4)] {
        check(port).priority(priority).nominating().send(&mut ice);
        assert_eq!(selected(&ice), Some(expected), "after port {port}");
        assert!(ice.is_valid(path(port)), "valid all the same");
    }
    // It keeps on nominating the lower one: that is what it has chosen.
    check(5).priority(299).nominating().send(&mut ice);
    assert_eq!(selected(&ice), Some(5));
}

#[test]
fn renomination_follows_what_grows() {
    let mut ice = agent();
    let nominate = |ice: &mut Ice, port, nomination| {
        Check { nomination: Some(nomination), ..check(port).nominating() }.send(ice);
        selected(ice)
    };
    assert_eq!(nominate(&mut ice, 1, 0), None);
    assert_eq!(ice.state(), IceState::Connected);
    assert_eq!(nominate(&mut ice, 1, 1), Some(1));
    assert_eq!(nominate(&mut ice, 2, 1), Some(1));
    assert_eq!(nominate(&mut ice, 2, 3), Some(2));
    assert_eq!(nominate(&mut ice, 1, 2), Some(2), "late");
    assert_eq!(nominate(&mut ice, 1, u32::MAX), Some(1));
    assert_eq!(nominate(&mut ice, 2, u32::MAX), Some(1));
    check(2).nominating().send(&mut ice);
    assert_eq!(selected(&ice), Some(2), "without a number it is an ordinary one");
    ice.restart(&parameters(NEW));
    Check { nomination: Some(1), ..check(1).with(NEW) }.send(&mut ice);
    assert_eq!(selected(&ice), Some(1), "new credentials count again");
}

#[test]
fn restart_keeps_both_credentials_until_the_new_ones_nominate() {
    let mut ice = agent();
    check(1).priority(200).nominating().send(&mut ice);
    assert_eq!(ice.restart(&parameters(NEW)), None);
    assert_eq!(ice.fragments().collect::<Vec<_>>(), [NEW.0, OLD.0]);
    assert_eq!((ice.state(), selected(&ice)), (IceState::Completed, Some(1)));

    let checked = check(2).priority(100).with(NEW).send(&mut ice);
    assert!(checked.added && checked.forgotten.is_none());
    check(1).priority(200).send(&mut ice);
    check(3).priority(200).nominating().send(&mut ice);
    assert_eq!(selected(&ice), Some(3), "the old session goes on");

    // By its first check and with a lower priority: that of the old session does not matter.
    let checked = check(4).priority(1).with(NEW).nominating().send(&mut ice);
    assert!(checked.selected_changed && !checked.state_changed);
    assert_eq!(checked.forgotten.as_deref(), Some(OLD.0));
    assert_eq!((ice.fragments().collect::<Vec<_>>(), selected(&ice)), (vec![NEW.0], Some(4)));
    assert_eq!(check(1).nominating().send_at(&mut ice, at(2)).err(), Some(Discard::UnknownUsername));
}

#[test]
fn restart_completes_on_the_path_that_is_selected_already() {
    let mut ice = agent();
    check(1).nominating().send(&mut ice);
    ice.restart(&parameters(NEW));
    let checked = check(1).with(NEW).nominating().send(&mut ice);
    assert!(!checked.added && !checked.selected_changed && !checked.state_changed);
    assert_eq!(checked.forgotten.as_deref(), Some(OLD.0));
}

#[test]
fn fragments_of_one_generation_and_passwords_of_another_do_not_mix() {
    let mut ice = agent();
    ice.restart(&parameters(NEW));
    for credentials in [(OLD.0, NEW.1), (NEW.0, OLD.1)] {
        let taken = check(1).with(credentials).send_at(&mut ice, at(1)).err();
        assert_eq!(taken, Some(Discard::StunIntegrityFailed));
    }
}

#[test]
fn restart_in_a_restart_keeps_what_the_call_runs_on() {
    let mut ice = agent();
    check(1).nominating().send(&mut ice);
    assert_eq!(ice.restart(&parameters(NEW)), None);
    check(2).with(NEW).send(&mut ice);
    assert_eq!(ice.restart(&parameters(THIRD)).as_deref(), Some(NEW.0));
    assert_eq!(ice.fragments().collect::<Vec<_>>(), [THIRD.0, OLD.0]);
    assert_eq!(selected(&ice), Some(1));
    check(1).send(&mut ice);
}

#[test]
fn restart_in_a_restart_before_anything_was_selected_keeps_the_newer() {
    let mut ice = agent();
    assert_eq!(ice.restart(&parameters(NEW)), None);
    assert_eq!(ice.restart(&parameters(THIRD)).as_deref(), Some(OLD.0));
    assert_eq!(ice.fragments().collect::<Vec<_>>(), [THIRD.0, NEW.0]);
}

#[test]
fn any_check_or_packet_of_a_valid_path_is_a_sign_of_life() {
    let mut ice = agent();
    check(1).send_at(&mut ice, at(5)).unwrap();
    check(2).send_at(&mut ice, at(7)).unwrap();
    check(1).nominating().send_at(&mut ice, at(9)).unwrap();
    assert_eq!(ice.last_sign_of_life(), Some(at(9)));
    check(2).send_at(&mut ice, at(30)).unwrap();
    assert_eq!(ice.last_sign_of_life(), Some(at(30)));
    assert!(
        !ice.record_packet(at(40), path(1)).selected_changed && !ice.record_packet(at(50), path(3)).selected_changed
    );
    assert_eq!(ice.last_sign_of_life(), Some(at(40)), "a path that no check has validated says nothing");
}

#[test]
fn a_path_that_is_alive_takes_the_place_of_one_that_is_silent() {
    let mut ice = agent();
    check(1).nominating().send_at(&mut ice, at(0)).unwrap();
    check(2).send_at(&mut ice, at(3_900)).unwrap();
    assert_eq!(selected(&ice), Some(1), "not silent for long enough");
    let (checked, _) = check(2).send_at(&mut ice, at(4_100)).unwrap();
    assert!(checked.selected_changed && !checked.state_changed);
    assert_eq!((ice.state(), selected(&ice)), (IceState::Completed, Some(2)));
    assert!(!ice.record_packet(at(4_200), path(1)).selected_changed, "and stays");
    assert!(ice.record_packet(at(8_500), path(1)).selected_changed, "media alone brings it back");
    assert_eq!(selected(&ice), Some(1));
    check(2).nominating().send_at(&mut ice, at(8_600)).unwrap();
    assert_eq!(selected(&ice), Some(2), "what is nominated is followed at once");
}

#[test]
fn no_path_is_selected_before_one_is_nominated() {
    let mut ice = agent();
    check(1).send_at(&mut ice, at(0)).unwrap();
    check(2).send_at(&mut ice, at(9_000)).unwrap();
    assert!(!ice.record_packet(at(20_000), path(2)).selected_changed);
    assert_eq!(ice.selected(), None);
}

#[test]
fn a_path_is_abandoned_after_a_long_silence() {
    let mut ice = agent();
    check(1).nominating().send_at(&mut ice, at(0)).unwrap();
    ice.record_packet(at(5_000), path(1));
    assert!(!ice.has_abandoned(at(15_000), path(1)) && ice.has_abandoned(at(15_001), path(1)));
    assert!(ice.has_abandoned(at(0), path(2)), "never was valid");
}

#[test]
fn a_check_without_priority_is_served() {
    let mut ice = agent();
    let without = Check { priority: None, ..check(1) }.nominating();
    assert!(without.send(&mut ice).selected_changed);
    check(2).priority(1).nominating().send(&mut ice);
    assert_eq!(selected(&ice), Some(2), "any priority is higher");
}

#[test]
fn expiry_forgets_paths_and_a_check_brings_it_back() {
    let mut ice = agent();
    ice.expire();
    assert_eq!(ice.state(), IceState::New, "nothing to lose");
    Check { nomination: Some(5), ..check(1) }.send(&mut ice);
    check(2).send(&mut ice);
    ice.expire();
    assert_eq!((ice.state(), ice.selected(), ice.last_sign_of_life()), (IceState::Disconnected, None, None));
    assert!(ice.paths().next().is_none() && !ice.is_valid(path(1)));
    assert_eq!(ice.fragments().collect::<Vec<_>>(), [OLD.0]);

    let back = check(1).send(&mut ice);
    assert!(back.added && back.state_changed);
    assert_eq!(ice.state(), IceState::Connected);
    Check { nomination: Some(1), ..check(1) }.send(&mut ice);
    assert_eq!((ice.state(), selected(&ice)), (IceState::Completed, Some(1)));
    ice.expire();
    check(1).nominating().send(&mut ice);
    assert_eq!((ice.state(), selected(&ice)), (IceState::Completed, Some(1)), "from Disconnected at once");
}

#[test]
fn an_endpoint_that_goes_takes_its_paths_along() {
    let over_tcp = Check { path: Path { local: TCP, ..path(1) }, protocol: IceProtocol::Tcp, ..check(1) };
    let mut ice = agent();
    assert_eq!(ice.forget_endpoint(TCP), Gone::default());
    assert_eq!(ice.state(), IceState::New);

    check(2).send(&mut ice);
    over_tcp.clone().nominating().send(&mut ice);
    assert_eq!(ice.selected(), Some((over_tcp.path, IceProtocol::Tcp)));
    let gone = ice.forget_endpoint(TCP);
    assert_eq!(
        gone,
        Gone { paths: vec![over_tcp.path], selected_changed: true, destination_gone: true, state_changed: true }
    );
    assert_eq!((ice.state(), ice.selected()), (IceState::Connected, None), "another path is valid");
    assert!(ice.is_valid(path(2)) && !ice.is_valid(over_tcp.path));

    check(2).nominating().send(&mut ice);
    over_tcp.send(&mut ice);
    let gone = ice.forget_endpoint(TCP);
    assert_eq!(gone, Gone { paths: vec![over_tcp.path], destination_gone: true, ..Gone::default() });
    assert_eq!((ice.state(), selected(&ice)), (IceState::Completed, Some(2)));

    let gone = ice.forget_endpoint(UDP);
    assert!(gone.selected_changed && gone.state_changed);
    assert_eq!((ice.state(), ice.last_sign_of_life()), (IceState::Disconnected, None));
}

/// A path from where a check has come is not one where the other side receives.
#[test]
fn media_goes_along_the_nominated_path_once_a_packet_has_come_by_it() {
    let mut ice = agent();
    check(1).nominating().send(&mut ice);
    assert_eq!(ice.destination(), None, "a check proves nothing");
    ice.record_handshake(at(10), path(1));
    assert_eq!(ice.destination(), Some(path(1)));
    for times in 0..3 {
        let nominated = check(2).priority(200).nominating().send(&mut ice);
        assert_eq!((nominated.selected_changed, nominated.destination_changed), (times == 0, false));
        assert_eq!((ice.selected().unwrap().0, ice.destination()), (path(2), Some(path(1))));
    }
    assert_eq!(ice.record_packet(at(50), path(1)), Moved::default());
    let moved = ice.record_packet(at(60), path(2));
    assert_eq!(moved, Moved { selected_changed: false, destination_changed: true });
    assert_eq!(ice.destination(), Some(path(2)));
}

#[test]
fn the_path_before_is_no_destination_once_it_has_been_silent_for_long() {
    let mut ice = agent();
    check(1).nominating().send(&mut ice);
    ice.record_handshake(at(10), path(1));
    check(2).priority(200).nominating().send(&mut ice);
    assert!(!check(2).send_at(&mut ice, at(30_000)).unwrap().0.destination_changed);
    assert!(check(2).send_at(&mut ice, at(30_002)).unwrap().0.destination_changed);
    assert_eq!((ice.selected().unwrap().0, ice.destination()), (path(2), None));
}

#[test]
fn what_packets_have_proved_holds_while_they_answer_media() {
    let mut ice = agent();
    check(1).nominating().send(&mut ice);
    ice.record_packet(at(1), path(1));
    let alive = |ice: &mut Ice, ms| check(1).send_at(ice, at(ms)).unwrap();
    // Nothing is sent, and so nothing needs an answer.
    alive(&mut ice, 100_000);
    assert_eq!(ice.destination(), Some(path(1)));
    for second in 100..=130 {
        alive(&mut ice, second * 1_000);
        assert!(!ice.record_media(at(second * 1_000)), "{second}");
    }
    ice.record_packet(at(130_500), path(1));
    for second in 131..=161 {
        assert!(!ice.record_media(at(second * 1_000)), "{second}");
    }
    alive(&mut ice, 162_000);
    assert!(ice.record_media(at(162_000)), "31 s without a word");
    assert_eq!((ice.selected().unwrap().0, ice.destination()), (path(1), None));
    assert!(ice.record_packet(at(163_000), path(1)).destination_changed);
    // A handshake has proved more.
    ice.record_handshake(at(164_000), path(1));
    assert!((164..300).all(|second| !ice.record_media(at(second * 1_000))));
}

#[test]
fn along_a_path_without_proof_three_times_what_came_may_leave() {
    let mut ice = agent();
    assert!(!ice.spend(path(1), 1), "no path");
    check(1).send(&mut ice);
    ice.count_received(path(1), 100, 90);
    assert!(ice.spend(path(1), 200) && !ice.spend(path(1), 101) && ice.spend(path(1), 100) && !ice.spend(path(1), 1));
    ice.count_received(path(1), 100, 110);
    assert!(!ice.spend(path(1), 291) && ice.spend(path(1), 290), "an answer that is longer than its question counts");
    ice.record_packet(at(5), path(1));
    assert!(ice.spend(path(1), 1_000_000));
}

/// Those who own a session may check from as many addresses as they like.
#[test]
fn paths_without_proof_make_room_before_those_with_one() {
    let mut ice = agent();
    check(1).nominating().send(&mut ice);
    ice.record_handshake(at(1), path(1));
    check(2).priority(200).nominating().send(&mut ice);
    for port in 3..40 {
        let later = at(u64::from(port) * 10);
        let (checked, _) = check(port).send_at(&mut ice, later).unwrap();
        assert!(!checked.destination_changed);
        assert_eq!(checked.evicted, (port > 8).then(|| path(port - 6)), "{port}");
    }
    assert!(ice.is_valid(path(1)) && ice.destination() == Some(path(1)));
}

#[test]
fn tcp_has_proved_its_path_itself() {
    let mut ice = agent();
    let over_tcp = Path { local: TCP, ..path(1) };
    Check { path: over_tcp, protocol: IceProtocol::Tcp, ..check(1) }.nominating().send(&mut ice);
    assert_eq!(ice.destination(), Some(over_tcp));
    assert!(ice.forget_endpoint(TCP).destination_gone && ice.destination().is_none());
}
