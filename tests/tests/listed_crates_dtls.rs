//! Why `dtls` 0.17.2 does not terminate DTLS in the server. Each test names one thing that reading the crate alleged,
//! and shows it. Where a later version fixes one, its test fails: then the reason has gone.

use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use dtls::config::Config;
use dtls::conn::DTLSConn;
use dtls::content::ContentType;
use dtls::crypto::Certificate;
use dtls::crypto::crypto_gcm::CryptoGcm;
use dtls::record_layer::record_layer_header::{PROTOCOL_VERSION1_2, RecordLayerHeader};
use webrtc_util::conn::Conn;
use webrtc_util::conn::conn_pipe::pipe;

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEADER_BYTES: usize = 13;

fn record(content_type: u8, epoch: u16, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type, 0xfe, 0xfd];
    record.extend(epoch.to_be_bytes());
    record.extend(&sequence.to_be_bytes()[2..]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// Head of a handshake fragment that carries nothing, of a message that claims to be empty.
fn fragment(message: u16, offset: u32, len: u32) -> [u8; 12] {
    let [_, a, b, c] = offset.to_be_bytes();
    let [_, d, e, f] = len.to_be_bytes();
    let [g, h] = message.to_be_bytes();
    [1, 0, 0, 0, g, h, a, b, c, d, e, f]
}

/// Datagrams of 113 fragments each.
fn datagrams(fragments: impl Iterator<Item = [u8; 12]>) -> Vec<Vec<u8>> {
    let fragments: Vec<_> = fragments.collect();
    (0_u64..)
        .zip(fragments.chunks(113))
        .map(|(sequence, part)| record(HANDSHAKE, 0, sequence, &part.concat()))
        .collect()
}

/// Runs a DTLS server that has never heard of us, hands it `datagrams`, and returns by how many bytes the process grew.
fn server_grows_by(datagrams: &[Vec<u8>]) -> usize {
    // Two are compiled in, by other crates' wishes, so one must be chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = pipe();
        let certificates = vec![Certificate::generate_self_signed(vec!["localhost".to_owned()]).unwrap()];
        let config = Config { certificates, ..Config::default() };
        let server = tokio::spawn(DTLSConn::new(Arc::new(theirs), config, false, None));
        let before = resident_bytes();
        for datagram in datagrams {
            tokio::time::timeout(Duration::from_secs(20), ours.send(datagram)).await.unwrap().unwrap();
        }
        // The pipe holds at most 16: all others have been taken in.
        assert!(!server.is_finished(), "the server gave up");
        resident_bytes() - before
    })
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// Runs `body` in a process of its own: memory is measured there, and it may die. `name` is the test that calls.
fn alone(name: &str, body: impl FnOnce()) -> Option<ExitStatus> {
    if std::env::var_os("CORECAST_ALONE").is_some() {
        body();
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(["--exact", name]).env("CORECAST_ALONE", "1").output().unwrap();
    Some(output.status)
}

/// Records of the next epoch are kept until there are keys, without a limit: 28 MB from a sender that sent no hello.
#[test]
fn dtls_queues_records_of_the_next_epoch_without_limit() {
    let status = alone("dtls_queues_records_of_the_next_epoch_without_limit", || {
        let datagrams: Vec<_> =
            (0..20_000).map(|sequence| record(APPLICATION_DATA, 1, sequence, &[0; 1_400 - HEADER_BYTES])).collect();
        let grown = server_grows_by(&datagrams);
        assert!(grown > 24_000_000, "grew by {grown} bytes only");
    });
    assert!(status.is_none_or(|status| status.success()), "{status:?}");
}

/// The fragment buffer has a limit of 2,000,000 bytes, but counts payload only: empty fragments are free.
#[test]
fn dtls_keeps_empty_fragments_without_limit() {
    let status = alone("dtls_keeps_empty_fragments_without_limit", || {
        let datagrams = datagrams((0..226_000).map(|_| fragment(9, 0, 0)));
        let sent: usize = datagrams.iter().map(Vec::len).sum();
        let grown = server_grows_by(&datagrams);
        assert!(sent > 2_000_000 && grown > 4 * sent, "sent {sent}, grew by {grown} bytes only");
    });
    assert!(status.is_none_or(|status| status.success()), "{status:?}");
}

/// A message is put together by recursion, as deep as it has fragments. Some 300 kB end the process, and no panic hook
/// or `catch_unwind` sees it.
#[test]
fn dtls_overflows_the_stack_on_many_fragments() {
    let status = alone("dtls_overflows_the_stack_on_many_fragments", || {
        // From the last to the first: nothing is put together before the first is there.
        let mut datagrams = datagrams((0..25_000).rev().map(|offset| fragment(0, offset, 1)));
        // As many more as the pipe holds, of an epoch that is ignored: the first fragment is then taken in.
        datagrams.extend((0..20).map(|sequence| record(APPLICATION_DATA, 9, sequence, &[0])));
        server_grows_by(&datagrams);
    });
    assert!(status.is_none_or(|status| status.signal().is_some()), "{status:?}");
}

fn header() -> RecordLayerHeader {
    RecordLayerHeader {
        content_type: ContentType::ApplicationData,
        protocol_version: PROTOCOL_VERSION1_2,
        epoch: 1,
        sequence_number: 7,
        content_len: 0,
    }
}

/// The explicit nonce is random where RFC 9325 section 7.2.1 wants a counter: the same record, sealed twice, has two.
#[test]
fn dtls_draws_gcm_nonces_at_random() {
    let cipher = CryptoGcm::new(&[1; 16], &[2; 4], &[1; 16], &[2; 4]);
    let plain = record(APPLICATION_DATA, 1, 7, b"the same");
    let nonce = || cipher.encrypt(&header(), &plain).unwrap()[HEADER_BYTES..HEADER_BYTES + 8].to_vec();
    let nonces = [nonce(), nonce(), nonce()];
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2] && nonces[0] != nonces[2], "{nonces:?}");
    assert!(!nonces.contains(&vec![0, 1, 0, 0, 0, 0, 0, 7]), "epoch and sequence number");
}

/// A record shorter than nonce and tag underflows. Builds that check arithmetic panic; others go on and fail to verify.
#[test]
fn dtls_underflows_on_short_gcm_records() {
    let panics = |len: usize| {
        let short = record(APPLICATION_DATA, 1, 7, &vec![0; len]);
        catch_unwind(|| {
            let cipher = CryptoGcm::new(&[1; 16], &[2; 4], &[1; 16], &[2; 4]);
            assert!(cipher.decrypt(&short).is_err());
        })
        .is_err()
    };
    for len in 0..40 {
        assert_eq!(panics(len), cfg!(debug_assertions) && (9..24).contains(&len), "length {len}");
    }
}
