//! `corecast-bench rtp`: a plain generator to any address, for operators.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use corecast_wire::{SrtpCryptoSuite, SrtpParameters};
use serde::Serialize;

use crate::clock::Clock;
use crate::crypto;
use crate::progress::Progress;
use crate::publishers::Publisher;
use crate::report::{grouped, rounded};
use crate::schedule::{Payload, Profile, Source};
use crate::sockets;

const PROGRESS_NS: u64 = 250_000_000;
const ANY_IP: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);

/// What is sent, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct RtpArgs {
    /// Where to, as ip:port or [ip]:port
    address: SocketAddr,
    /// Packets per second
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pps: u32,
    /// RTP payload: bytes, or "mix" for frames of random size, each split nearly evenly
    #[arg(long, default_value = "mix")]
    payload: Payload,
    /// How packets are spread over time
    #[arg(long, value_enum, default_value = "pacer")]
    profile: Profile,
    /// Seconds to send for
    #[arg(long, default_value_t = 10.0, value_parser = crate::args::seconds)]
    seconds: f64,
    /// SSRC of the stream; by default a random one
    #[arg(long)]
    ssrc: Option<u32>,
    /// Payload type
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u8).range(0..=127))]
    pt: u8,
    /// Encrypt with this suite, in mediasoup's names: AEAD_AES_128_GCM, AEAD_AES_256_GCM or AES_CM_128_HMAC_SHA1_80
    #[arg(long, requires = "srtp_key", value_parser = suite)]
    srtp_suite: Option<SrtpCryptoSuite>,
    /// Master key followed by master salt, in base64
    #[arg(long, requires = "srtp_suite", value_name = "BASE64")]
    srtp_key: Option<String>,
    /// Send from this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<SocketAddr>,
    /// For the sizes of frames
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct RtpFigures {
    sent: u64,
    refused: u64,
    seconds: f64,
    pps: f64,
    ssrc: u32,
}

fn suite(name: &str) -> Result<SrtpCryptoSuite, String> {
    let all = [SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AeadAes256Gcm, SrtpCryptoSuite::AesCm128HmacSha1_80];
    let names = all.map(SrtpCryptoSuite::name).join(", ");
    all.into_iter().find(|suite| suite.name() == name).ok_or_else(|| format!("give one of {names}"))
}

/// Runs the subcommand.
///
/// # Errors
/// The key does not fit, or the address cannot be sent to.
pub fn run(args: &RtpArgs) -> anyhow::Result<()> {
    let key = match (args.srtp_suite, &args.srtp_key) {
        (Some(suite), Some(text)) => {
            let key_and_salt = base64::engine::general_purpose::STANDARD.decode(text).context("--srtp-key")?;
            Some(SrtpParameters { suite, key_and_salt })
        }
        _ => None,
    };
    let srtp = key.as_ref().map(crypto::endpoint).transpose().context("--srtp-key")?;
    let clock = Clock::default();
    let source = Source::new(args.profile, args.payload, args.pps, clock.now_ns(), args.seed);
    let any = if args.address.is_ipv4() { ANY_IP.0.into() } else { ANY_IP.1.into() };
    let from = args.from.unwrap_or_else(|| SocketAddr::new(any, 0));
    let ssrc = args.ssrc.unwrap_or_else(rand::random);
    let mut publisher = Publisher::new(0, source, srtp, from)?.with_ssrc(ssrc).with_payload_type(args.pt);
    publisher.connect(args.address).with_context(|| format!("cannot send to {}", args.address))?;
    sockets::precise_timers();
    let seconds = send(args, &mut publisher, &clock)?;
    let sent = RtpFigures {
        sent: publisher.sent(),
        refused: publisher.refused(),
        seconds: rounded(seconds, 3),
        pps: rounded(publisher.sent() as f64 / seconds, 1),
        ssrc,
    };
    if args.json {
        println!("{}", serde_json::to_string(&sent)?);
    } else {
        println!("sent {} packets of SSRC {} to {} in {seconds:.1} s", grouped(sent.sent), sent.ssrc, args.address);
        if sent.refused > 0 {
            println!(
                "the system refused {} packets: nobody listens there, or the queue is full",
                grouped(sent.refused)
            );
        }
    }
    Ok(())
}

fn send(args: &RtpArgs, publisher: &mut Publisher, clock: &Clock) -> anyhow::Result<f64> {
    let (start_ns, length) = (clock.now_ns(), Duration::from_secs_f64(args.seconds));
    let end_ns = start_ns + length.as_nanos() as u64;
    let progress = Progress::new(1);
    progress.step(&args.address.to_string());
    let mut next_progress_ns = 0;
    loop {
        let now_ns = clock.now_ns();
        if now_ns >= end_ns {
            progress.finish();
            return Ok((now_ns - start_ns) as f64 / 1e9);
        }
        if now_ns >= next_progress_ns {
            let what = format!("{} packets to {}", grouped(publisher.sent()), args.address);
            progress.within(&what, Duration::from_nanos(now_ns - start_ns), length);
            next_progress_ns = now_ns + PROGRESS_NS;
        }
        publisher.send_due(now_ns, clock)?;
        let next_ns = publisher.next_ns().min(end_ns);
        std::thread::sleep(Duration::from_nanos(next_ns.saturating_sub(clock.now_ns())));
    }
}
