#!/usr/bin/env bash
# The Rust crate dimpl 0.9.0 (DTLS 1.2) as the server, and clients whose certificate has an RSA key.
#
# A good guess: a DTLS server for WebRTC takes whatever certificate has the announced fingerprint. Pages may draw RSA
# keys (`generateCertificate`), GStreamer's webrtcbin does so by itself, and what the server can verify is up to the
# `SignatureVerifier`, which whoever uses the crate may replace by one that knows RSA.
#
# Seen instead: the server's request for a certificate lists a key and signatures of ECDSA alone, whatever the verifier
# knows. OpenSSL, which GStreamer has, then shows no certificate, and the server ends the handshake; the verifier is not
# asked. With a key on P-256 the same client connects. Who takes GStreamer's calls needs a changed crate or another.
#
# Takes two minutes. Needs cargo and openssl. Handshakes of openssl's own client, over loopback.
# Output as seen (OpenSSL 3.0.22; 64 is ecdsa_sign, 0403 and 0503 are ECDSA with SHA-256 and with SHA-384):
#   EC: requested keys [64], signatures [0403, 0503]; verifier asked: true; connected
#   RSA: requested keys [64], signatures [0403, 0503]; verifier asked: false; certificate error: no client certificate …
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2024"

[dependencies]
dimpl = { version = "=0.9.0", default-features = false, features = ["rust-crypto"] }
TOML
cat > src/main.rs <<'RUST'
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dimpl::crypto::{HashAlgorithm, SignatureAlgorithm, SignatureVerifier, rust_crypto};
use dimpl::{Config, CryptoError, Dtls, DtlsCertificate, Output};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Takes every signature, for it is only seen whether it is asked.
#[derive(Debug)]
struct Verifier;

impl SignatureVerifier for Verifier {
    fn verify_signature(
        &self,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: HashAlgorithm,
        _: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        ASKED.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// What a datagram of the server requests of its client (RFC 5246 section 7.4.4), if it does.
fn requested(datagram: &[u8]) -> Option<String> {
    let mut rest = datagram;
    while rest.len() > 13 {
        let (record, behind) = rest.split_at(13 + usize::from(u16::from_be_bytes([rest[11], rest[12]])));
        rest = behind;
        // A handshake message that is not encrypted, of the type certificate_request.
        if record[0] == 22 && record[3..5] == [0, 0] && record[13] == 13 {
            let (keys, behind) = record[26..].split_at(record[25].into());
            let signatures: Vec<_> = behind[2..2 + usize::from(behind[1])].chunks(2).collect();
            let signatures: Vec<_> = signatures.iter().map(|one| format!("{:02x}{:02x}", one[0], one[1])).collect();
            return Some(format!("requested keys {keys:?}, signatures [{}]", signatures.join(", ")));
        }
    }
    None
}

/// One handshake: what was requested, whether the verifier was asked, and what came of it.
fn main() {
    let mut provider = rust_crypto::default_provider();
    provider.signature_verification = &Verifier;
    let config = Config::builder().with_crypto_provider(provider).build().expect("lawful");
    let read = |name: &str| std::fs::read(name).expect("made by the script");
    let certificate = DtlsCertificate { certificate: read("server.der"), private_key: read("server.key.der") };
    let mut dtls = Dtls::new_12(Arc::new(config), certificate, Instant::now());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    std::fs::write("port", socket.local_addr().expect("bound").port().to_string()).expect("room");
    let (mut room, mut datagram) = (vec![0; 2_048], vec![0; 2_048]);
    let (end, mut client, mut request) = (Instant::now() + Duration::from_secs(10), None, None);
    // The crate has tried it on values of its own.
    ASKED.store(false, Ordering::Relaxed);
    let how = 'ends: loop {
        if let Err(error) = dtls.handle_timeout(Instant::now()) {
            break error.to_string();
        }
        loop {
            match dtls.poll_output(&mut room) {
                Output::Packet(packet) => {
                    let to = client.expect("it has come before anything leaves");
                    socket.send_to(packet, to).expect("sent");
                    request = request.or_else(|| requested(packet));
                }
                Output::Connected => break 'ends "connected".to_owned(),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        if let Ok((len, from)) = socket.recv_from(&mut datagram) {
            client = Some(from);
            if let Err(error) = dtls.handle_packet(&datagram[..len]) {
                break error.to_string();
            }
        }
        if Instant::now() > end {
            break "nothing within 10 s".to_owned();
        }
    };
    println!("{}; verifier asked: {}; {how}", request.unwrap_or_default(), ASKED.load(Ordering::Relaxed));
}
RUST
cargo build --quiet 2> build.log || { cat build.log; exit 1; }

ec="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
make="openssl req -x509 -nodes -days 2 -subj /CN=one"
$make $ec -keyout server.key -outform DER -out server.der 2> made
openssl pkcs8 -topk8 -nocrypt -in server.key -outform DER -out server.key.der
$make $ec -keyout EC.key -out EC.pem 2> made
$make -newkey rsa:2048 -keyout RSA.key -out RSA.pem 2> made

seen=""
for key in EC RSA; do
  rm -f port
  target/debug/seen > server.out 2> server.err &
  server=$!
  for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
  timeout 5 openssl s_client -dtls1_2 -connect "127.0.0.1:$(cat port)" -cert $key.pem -key $key.key < /dev/null \
    > client.out 2>&1 || true
  wait $server
  seen+="$key: $(cat server.out)"$'\n'
done
printf '%s' "$seen"
list='requested keys \[64\], signatures \[0403, 0503\]; verifier asked'
grep -q "^EC: $list: true; connected" <<< "$seen" && grep -q "^RSA: $list: false; .*o client certificate" <<< "$seen" ||
  { echo "the crate behaves otherwise than described above" >&2; exit 1; }
