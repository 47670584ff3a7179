//! The endpoint against the responder: every way in, and what keeps it out.

use std::sync::Arc;
use std::time::Duration;

use corecast_wire::SrtpCryptoSuite;

use super::dtls::Terms;
use super::identity::Identity;
use super::joining::{Joining, join};
use super::options::{Options, Phase};
use super::responder::{Manners, Responder, Seen};
use super::sdp::{Kind, Media, Setup};
use super::session::{Event, Session};
use super::whip::Refused;

const PATIENCE: Duration = Duration::from_secs(20);
const RTP: [u8; 16] = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 1, 2, 3, 4];
const RECEIVER_REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];

fn options() -> Options {
    let identity = Arc::new(Identity::new().expect("made"));
    Options::new(&identity, vec![Media::plain(Kind::Video, true, Some(7))])
}

fn with(terms: Terms) -> Options {
    Options { terms, ..options() }
}

/// Runs a test that may take a while on a busy machine, but not for ever.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("in time") });
}

async fn connect(responder: &Responder, options: Options) -> Session {
    join(&reqwest::Client::new(), &responder.url, options).await.expect("joins")
}

/// What is sent comes back, sealed with other keys.
async fn echoes(session: &mut Session) {
    // The side that completes the handshake last has no keys yet for a packet that comes at once, so the packet is sent
    // again until it is taken.
    let until = std::time::Instant::now() + PATIENCE;
    let packet = loop {
        session.send_rtp(&RTP).expect("sent");
        match session.recv_rtp(Duration::from_millis(200)).await {
            Ok(packet) => break packet,
            Err(error) => assert!(std::time::Instant::now() < until, "does not come back: {error:?}"),
        }
    };
    assert_eq!((packet.header.ssrc, packet.payload.as_ref()), (7, &RTP[12..]));
    session.send_rtcp(&RECEIVER_REPORT).expect("sent");
    match session.recv(PATIENCE).await.expect("open") {
        Some(Event::Rtcp(packet)) => assert_eq!(packet.as_ref(), RECEIVER_REPORT),
        other => panic!("{other:?}"),
    }
}

#[test]
fn media_goes_both_ways_in_every_suite_and_role() {
    run(async {
        let responder = Responder::start(Manners::default()).await;
        let suites =
            [SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AeadAes256Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80];
        for suite in suites {
            for setup in [Setup::ActPass, Setup::Passive] {
                let terms = Terms { profiles: vec![suite], ..Terms::default() };
                let mut session = connect(&responder, Options { setup, ..with(terms) }).await;
                assert_eq!((session.keys().local.suite, session.keys().remote.suite), (suite, suite));
                assert_ne!(session.keys().local, session.keys().remote);
                echoes(&mut session).await;
                let times = session.times();
                let parts = times.http + times.ice + times.dtls + times.first_rtp.expect("taken");
                assert!(times.dtls > Duration::ZERO && times.total >= parts, "{times:?}");
            }
        }
    });
}

#[test]
fn both_sides_have_the_same_keys() {
    run(async {
        let responder = Responder::start(Manners::default()).await;
        let options = options();
        let identity = Arc::clone(&options.identity);
        let session = connect(&responder, options).await;
        let (theirs, certificate) = responder
            .see(|seen| match seen {
                Seen::Joined(keys, certificate) => Some((keys.clone(), certificate.clone())),
                _ => None,
            })
            .await;
        assert_eq!((&theirs.local, &theirs.remote), (&session.keys().remote, &session.keys().local));
        assert_eq!(certificate, identity.der());
    });
}

#[test]
fn a_hello_in_pieces_is_understood() {
    run(async {
        let responder = Responder::start(Manners::default()).await;
        let mut session = connect(&responder, with(Terms { mtu: 40, ..Terms::default() })).await;
        echoes(&mut session).await;
    });
}

#[test]
fn a_certificate_that_was_not_announced_is_refused_on_both_sides() {
    run(async {
        let responder = Responder::start(Manners::default()).await;
        let other = Identity::new().expect("made").fingerprint();
        let _session = connect(&responder, Options { fingerprint: Some(other.clone()), ..options() }).await;
        let why = responder.see(|seen| if let Seen::Failed(why) = seen { Some(why.clone()) } else { None }).await;
        assert!(why.contains("certificate"), "{why}");

        let liar = Responder::start(Manners { fingerprint: Some(other), ..Manners::default() }).await;
        let error = join(&reqwest::Client::new(), &liar.url, options()).await.expect_err("a lie");
        assert_eq!(error.phase, Phase::Dtls, "{error}");
        let trusting = Options { check_fingerprint: false, ..options() };
        echoes(&mut connect(&liar, trusting).await).await;
    });
}

#[test]
fn suites_that_do_not_meet_end_the_handshake() {
    run(async {
        let terms = Terms { profiles: vec![SrtpCryptoSuite::AesCm128HmacSha1_80], ..Terms::default() };
        let responder = Responder::start(Manners { terms: Some(terms), ..Manners::default() }).await;
        let terms = Terms { within: Duration::from_secs(2), ..Terms::default() };
        let error = join(&reqwest::Client::new(), &responder.url, with(terms)).await.expect_err("no profile");
        assert_eq!(error.phase, Phase::Dtls, "{error}");
    });
}

#[test]
fn ice_restarts_while_media_goes_on() {
    run(async {
        let responder = Responder::start(Manners::default()).await;
        let mut session = connect(&responder, options()).await;
        let before = session.checks.local.clone();
        session.restart_ice(PATIENCE).await.expect("restarts");
        assert_ne!(session.checks.local, before);
        assert_eq!(session.resource.etag.as_deref(), Some("\"two\""));
        echoes(&mut session).await;
    });
}

#[test]
fn checks_with_a_wrong_password_stay_unanswered() {
    run(async {
        let responder = Responder::start(Manners::default()).await;
        let options = Options { ice_within: Duration::from_millis(300), ..options() };
        let client = reqwest::Client::new();
        let mut joining = Joining::post(&client, &responder.url, options).await.expect("answered");
        assert!(joining.resource.url.as_str().ends_with("/whip/session/1"), "{}", joining.resource.url);
        let right = std::mem::replace(&mut joining.checks.remote.password, "wrong".into());
        let error = joining.check().await.expect_err("unanswered");
        assert_eq!(error.phase, Phase::Ice, "{error}");
        joining.checks.remote.password = right;
        joining.check().await.expect("answered");
        echoes(&mut joining.shake().await.expect("shakes")).await;
    });
}

#[test]
fn an_endpoint_that_leaves_says_so() {
    run(async {
        let responder = Responder::start(Manners::default()).await;
        connect(&responder, options()).await.leave().await.expect("leaves");
        responder.see(|seen| matches!(seen, Seen::Closed).then_some(())).await;
        responder.see(|seen| matches!(seen, Seen::Deleted).then_some(())).await;
    });
}

#[test]
fn a_refusal_keeps_its_status_and_reason() {
    run(async {
        let responder = Responder::start(Manners { refuse: Some(409), ..Manners::default() }).await;
        let error = join(&reqwest::Client::new(), &responder.url, options()).await.expect_err("refused");
        assert_eq!(error.phase, Phase::Http);
        let refused: &Refused = error.reason.downcast_ref().expect("refused by the server");
        assert_eq!((refused.status.as_u16(), refused.body.as_str()), (409, "no no"));
        assert_eq!(refused.headers["retry-after"], "1");
    });
}
