//! Why `webrtc-srtp` 0.17.2 does not open hostile bytes in the server, and whether `stun` 0.17.2 may. Each test names
//! one thing that reading the crate alleged, and shows it or refutes it. Where a later version fixes one, its test
//! fails: then the reason has gone.

use std::panic::catch_unwind;
use std::sync::Arc;

use corecast_core::srtp::{OpenError, Opener};
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;
use webrtc_util::replay_detector::ReplayDetector;

const GCM_KEY: [u8; 16] = [1; 16];
const GCM_SALT: [u8; 12] = [2; 12];

fn gcm() -> Context {
    Context::new(&GCM_KEY, &GCM_SALT, ProtectionProfile::AeadAes128Gcm, None, None).unwrap()
}

fn opener(suite: SrtpCryptoSuite) -> Opener {
    Opener::new(&SrtpParameters { suite, key_and_salt: vec![1; suite.key_and_salt_len()] }).unwrap()
}

/// Whether `decrypt_rtcp` panics on a receiver report that was cut to `len` bytes.
fn decrypt_rtcp_panics(profile: ProtectionProfile, salt_len: usize, len: usize) -> bool {
    let packet: Vec<u8> = [0x80, 201, 0, 1].into_iter().chain(std::iter::repeat(7)).take(len).collect();
    catch_unwind(|| {
        let mut context = Context::new(&GCM_KEY, &vec![2; salt_len], profile, None, None).unwrap();
        drop(context.decrypt_rtcp(&packet));
    })
    .is_err()
}

/// The index and the SSRC are read before the length is looked at. No key is needed.
#[test]
fn webrtc_srtp_panics_on_srtcp_of_4_to_13_bytes() {
    let cm = |len| decrypt_rtcp_panics(ProtectionProfile::Aes128CmHmacSha1_80, 14, len);
    let gcm = |len| decrypt_rtcp_panics(ProtectionProfile::AeadAes128Gcm, 12, len);
    assert_eq!((0..64).filter(|len| cm(*len)).collect::<Vec<_>>(), (4..14).collect::<Vec<_>>());
    assert_eq!((0..64).filter(|len| gcm(*len)).collect::<Vec<_>>(), (4..8).collect::<Vec<_>>());

    for suite in [SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80] {
        for len in 0..20 {
            let error = opener(suite).open_rtcp(&[0x80; 64][..len], &mut [0; 64]);
            assert_eq!(error, Err(OpenError::TooShort), "length {len}");
        }
    }
}

/// A detector that shows by its reference that it is still held.
struct Held(#[expect(dead_code)] Arc<()>);

impl ReplayDetector for Held {
    fn check(&mut self, _: u64) -> bool {
        true
    }

    fn accept(&mut self) {
        unreachable!("nothing here authenticates");
    }
}

/// State of an SSRC is made before the tag is looked at, and never given up: 10,000 forged packets, 10,000 states.
#[test]
fn webrtc_srtp_keeps_state_for_forged_ssrcs() {
    let held = Arc::new(());
    let options = || {
        let held = Arc::clone(&held);
        Box::new(move || -> Box<dyn ReplayDetector + Send> { Box::new(Held(Arc::clone(&held))) })
    };
    let profile = ProtectionProfile::AeadAes128Gcm;
    let mut context = Context::new(&GCM_KEY, &GCM_SALT, profile, Some(options()), Some(options())).unwrap();
    let before = Arc::strong_count(&held);
    for ssrc in 0..10_000_u32 {
        let mut forged = vec![0x80, 96, 0, 1, 0, 0, 0, 0];
        forged.extend(ssrc.to_be_bytes());
        forged.resize(60, 0);
        assert!(context.decrypt_rtp(&forged).is_err());
    }
    assert_eq!(Arc::strong_count(&held) - before, 10_000, "SRTP");
    for ssrc in 0..10_000_u32 {
        let mut forged = vec![0x80, 201, 0, 1];
        forged.extend(ssrc.to_be_bytes());
        forged.resize(60, 0x80);
        assert!(context.decrypt_rtcp(&forged).is_err());
    }
    assert_eq!(Arc::strong_count(&held) - before, 20_000, "SRTCP");

    let mut ours = opener(SrtpCryptoSuite::AeadAes128Gcm);
    for ssrc in 0..10_000_u32 {
        let mut forged = vec![0x80, 201, 0, 1];
        forged.extend(ssrc.to_be_bytes());
        forged.resize(60, 0x80);
        assert_eq!(ours.open_rtcp(&forged, &mut [0; 64]), Err(OpenError::AuthenticationFailed));
    }
    assert_eq!(ours.rtcp_sources().count(), 0);
}

/// Without options there is no replay protection, and nothing says so.
#[test]
fn webrtc_srtp_opens_replays_unless_told_otherwise() {
    let mut rtp = vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
    rtp.resize(100, 3);
    let sealed = gcm().encrypt_rtp(&rtp).unwrap();
    let rtcp = [0x80, 201, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4];
    let sealed_rtcp = gcm().encrypt_rtcp(&rtcp).unwrap();
    let mut receiver = gcm();
    for _ in 0..3 {
        assert_eq!(receiver.decrypt_rtp(&sealed).as_deref(), Ok(rtp.as_slice()));
        assert_eq!(receiver.decrypt_rtcp(&sealed_rtcp).as_deref(), Ok(rtcp.as_slice()));
    }
}

/// With AES-GCM the flag "encrypted" is set before the tag is checked, so a packet without it opens all the same.
#[test]
fn webrtc_srtp_ignores_the_encryption_flag_of_srtcp() {
    let rtcp = [0x80, 201, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4];
    let mut sealed = gcm().encrypt_rtcp(&rtcp).unwrap().to_vec();
    let flag = sealed.len() - 4;
    sealed[flag] &= 0x7f;
    assert_eq!(gcm().decrypt_rtcp(&sealed).as_deref(), Ok(rtcp.as_slice()));

    let key_and_salt = [GCM_KEY.as_slice(), GCM_SALT.as_slice()].concat();
    let parameters = SrtpParameters { suite: SrtpCryptoSuite::AeadAes128Gcm, key_and_salt };
    let mut ours = Opener::new(&parameters).unwrap();
    assert_eq!(ours.open_rtcp(&sealed, &mut [0; 64]), Err(OpenError::NotEncrypted));
}
