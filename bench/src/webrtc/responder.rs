//! The other side in this module's own tests: just enough of a server to be joined. It sends back what it opens.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::dtls::{Association, Handshake, Keys, Terms, is_dtls};
use super::ice::{CheckEvent, Checks, Credentials, is_stun};
use super::identity::Identity;
use super::sdp;
use super::wire::{Wire, feed_all};
use crate::crypto;

/// What has happened.
#[derive(Debug)]
pub(super) enum Seen {
    /// A handshake is done; our keys and the client's certificate.
    Joined(Keys, Vec<u8>),
    /// Something failed on our side.
    Failed(String),
    /// The client has closed its association.
    Closed,
    /// A session was deleted.
    Deleted,
}

/// How it misbehaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Manners {
    /// It answers every offer with this status.
    pub(super) refuse: Option<u16>,
    /// Its answer names this fingerprint.
    pub(super) fingerprint: Option<String>,
    /// SRTP profiles; none for all.
    pub(super) terms: Option<Terms>,
}

type Log = Arc<Mutex<Vec<Seen>>>;

pub(super) struct Responder {
    pub(super) url: String,
    log: Log,
}

struct Shared {
    identity: Identity,
    manners: Manners,
    log: Log,
    restarted: Mutex<Option<(Credentials, Credentials)>>,
}

impl Responder {
    pub(super) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}/whip/room", listener.local_addr().expect("bound"));
        let log = Log::default();
        let identity = Identity::new().expect("made");
        let shared = Arc::new(Shared { identity, manners, log: Arc::clone(&log), restarted: Mutex::default() });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Err(error) = http(stream, &shared).await {
                        shared.see(Seen::Failed(format!("{error:#}")));
                    }
                });
            }
        });
        Self { url, log }
    }

    /// Waits until something has happened.
    pub(super) async fn see<T>(&self, what: impl Fn(&Seen) -> Option<T>) -> T {
        for _ in 0..2_000 {
            if let Some(found) = self.log.lock().expect("whole").iter().find_map(&what) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not seen: {:?}", self.log.lock());
    }
}

impl Shared {
    fn see(&self, what: Seen) {
        self.log.lock().expect("whole").push(what);
    }
}

/// One request a connection.
async fn http(mut stream: TcpStream, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let (mut request, mut part) = (String::new(), [0; 4_096]);
    let (head, body) = loop {
        let len = stream.read(&mut part).await?;
        request.push_str(std::str::from_utf8(&part[..len])?);
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head, body);
        }
    };
    let answer = match (head.split(' ').next(), shared.manners.refuse) {
        (_, Some(status)) => format!("{status} No\r\nretry-after: 1\r\ncontent-length: 5\r\n\r\nno no"),
        (Some("post"), None) => {
            let (answer, len) = answer(body, shared)?;
            let head = "201 Created\r\nlocation: session/1\r\netag: \"one\"\r\ncontent-type: application/sdp";
            format!("{head}\r\ncontent-length: {len}\r\n\r\n{answer}")
        }
        (Some("patch"), None) if head.contains("if-match: *") => {
            let ours = Credentials::random();
            let fragment = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ours.ufrag, ours.password);
            *shared.restarted.lock().expect("whole") = Some((ours, sdp::credentials(body)?));
            format!("200 OK\r\netag: \"two\"\r\ncontent-length: {}\r\n\r\n{fragment}", fragment.len())
        }
        (Some("delete"), None) => {
            shared.see(Seen::Deleted);
            "200 OK\r\ncontent-length: 0\r\n\r\n".into()
        }
        _ => bail!("not expected: {head}"),
    };
    stream
        .write_all(format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nconnection: close\r\n", 1)).as_bytes())
        .await?;
    Ok(())
}

fn answer(offer: &str, shared: &Arc<Shared>) -> anyhow::Result<(String, usize)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let port = socket.local_addr()?.port();
    let ours = Credentials::random();
    let fingerprint = shared.manners.fingerprint.clone().unwrap_or_else(|| shared.identity.fingerprint());
    let active = offer.contains("a=setup:passive");
    let setup = if active { "active" } else { "passive" };
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
         a=fingerprint:{fingerprint}\r\na=setup:{setup}\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n\
         a=candidate:1 1 udp 1 127.0.0.1 {port} typ host\r\n",
        ours.ufrag, ours.password
    );
    let checks = Checks::new(ours, sdp::credentials(offer)?);
    let announced = offer.lines().filter_map(|line| line.strip_prefix("a=fingerprint:")).map(str::to_owned).collect();
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Err(error) = serve(socket, checks, active, announced, &shared).await {
            shared.see(Seen::Failed(format!("{error:#}")));
        }
    });
    let len = text.len();
    Ok((text, len))
}

async fn serve(
    socket: UdpSocket,
    mut checks: Checks,
    active: bool,
    announced: Vec<String>,
    shared: &Shared,
) -> anyhow::Result<()> {
    socket.set_nonblocking(true)?;
    let waiting = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = [0; 2_048];
    let (wire, first) = loop {
        let (len, from) = waiting.recv_from(&mut buffer).await?;
        if let CheckEvent::Request(answer) = checks.take(&buffer[..len], from) {
            break (Wire::over(waiting.into_std()?, from)?, answer);
        }
    };
    wire.send(&first)?;
    let handshake = Handshake::over(Arc::clone(wire.socket()));
    let feed = handshake.feed();
    let all = Terms {
        profiles: ["AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"]
            .iter()
            .map(|name| suite(name))
            .collect(),
        ..Terms::default()
    };
    let terms = shared.manners.terms.clone().unwrap_or(all);
    let association = tokio::select! {
        done = handshake.shake(&shared.identity, active, &terms, &announced) => done?,
        failed = feed_all(&wire, &mut checks, &feed) => match failed? {},
    };
    let keys = association.keys.clone().context("no keys")?;
    shared.see(Seen::Joined(keys.clone(), association.certificate.clone()));
    echo(&wire, checks, &association, &keys, shared).await
}

fn suite(name: &str) -> corecast_wire::SrtpCryptoSuite {
    use corecast_wire::SrtpCryptoSuite as Suite;
    let all = [Suite::AeadAes128Gcm, Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_80];
    all.into_iter().find(|suite| suite.name() == name).expect("a suite")
}

async fn echo(
    wire: &Wire,
    mut checks: Checks,
    association: &Association,
    keys: &Keys,
    shared: &Shared,
) -> anyhow::Result<()> {
    let (mut open, mut seal) = (crypto::endpoint(&keys.remote)?, crypto::endpoint(&keys.local)?);
    let mut buffer = [0; 2_048];
    loop {
        let len = tokio::select! {
            read = wire.recv(&mut buffer) => read?,
            () = association.ended() => {
                shared.see(Seen::Closed);
                return Ok(());
            }
        };
        let datagram = &buffer[..len];
        if let Some((ours, theirs)) = shared.restarted.lock().expect("whole").take() {
            checks = Checks::new(ours, theirs);
        }
        if is_dtls(datagram) {
            association.feed.take(datagram);
        } else if is_stun(datagram) {
            if let CheckEvent::Request(answer) = checks.take(datagram, wire.socket().peer_addr()?) {
                wire.send(&answer)?;
            }
        } else if matches!(datagram[1], 192..=223) {
            let plain = open.decrypt_rtcp(datagram)?;
            wire.send(&seal.encrypt_rtcp(&plain)?)?;
        } else {
            let plain = open.decrypt_rtp(datagram)?;
            wire.send(&seal.encrypt_rtp(&plain)?)?;
        }
    }
}
