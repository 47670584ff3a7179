//! What an endpoint owes the server while its media is sent or read by a loop without a runtime: consent checks
//! (RFC 7675), reports (RFC 3550), and taking in what is not media.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::Context as _;
use rtcp::packet::Packet;
use rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use webrtc_srtp::context::Context;
use webrtc_util::marshal::Marshal as _;

use super::dtls::{Association, is_dtls};
use super::feedback::Arrivals;
use super::ice::{CheckEvent, Checks, is_stun};
use super::session::{Parts, consent_interval};
use super::whip::Resource;

/// What libwebrtc takes for video: a report every second, 0.5 to 1.5 times (RFC 3550 section 6.2).
const REPORT_EVERY_NS: f64 = 1e9;
/// How often a publisher looks for feedback.
const READ_EVERY_NS: u64 = 5_000_000;
/// Datagrams that it then reads at most.
const READ_AT_ONCE: usize = 32;
/// Seconds from 1900 to 1970 (RFC 3550 section 4).
const NTP_OFFSET_S: u64 = 2_208_988_800;

fn report_interval_ns() -> u64 {
    (REPORT_EVERY_NS * rand::random_range(0.5..1.5)) as u64
}

/// Sends on a connected socket; what it does not take is lost, as on a network.
fn send(socket: &UdpSocket, datagram: &[u8]) {
    let _ = socket.send(datagram);
}

/// Consent, and the way out.
pub struct Upkeep {
    checks: Checks,
    /// DTLS, for its end.
    association: Association,
    /// The session at the server.
    resource: Resource,
    remote: SocketAddr,
    next_check_ns: u64,
    next_report_ns: u64,
}

impl std::fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upkeep").field("checks", &self.checks).finish_non_exhaustive()
    }
}

/// What is left of a session's parts: the socket, sealing and opening.
type Rest = (Arc<UdpSocket>, Context, Context);

impl Upkeep {
    /// Takes a session over.
    ///
    /// # Errors
    /// The socket is not connected.
    pub(super) fn new(parts: Parts, now_ns: u64) -> anyhow::Result<(Self, Rest)> {
        let Parts { socket, seal, open, checks, association, resource, .. } = parts;
        let remote = socket.peer_addr().context("a connected socket")?;
        // Many join together; their reports and checks are spread from the start.
        let next_check_ns = now_ns + consent_interval().mul_f64(rand::random_range(0.0..1.0)).as_nanos() as u64;
        let next_report_ns = now_ns + (REPORT_EVERY_NS * rand::random_range(0.0..1.0)) as u64;
        let this = Self { checks, association, resource, remote, next_check_ns, next_report_ns };
        Ok((this, (socket, seal, open)))
    }

    /// Checks that were asked, and how many of them were answered.
    #[must_use]
    pub const fn consent(&self) -> (u64, u64) {
        (self.checks.asked, self.checks.answered)
    }

    /// Checks that were not answered within a second.
    #[must_use]
    pub fn lost_checks(&self) -> u64 {
        self.checks.lost()
    }

    /// Leaves as an endpoint should: the session is deleted, then the association closed.
    ///
    /// # Errors
    /// The server does not know the session, or does not answer.
    pub async fn leave(self) -> anyhow::Result<()> {
        let deleted = self.resource.delete().await;
        self.association.close().await;
        deleted
    }

    /// Sends a check if one is due; whether a report is.
    pub(super) fn turn(&mut self, now_ns: u64, socket: &UdpSocket) -> anyhow::Result<bool> {
        if now_ns >= self.next_check_ns {
            send(socket, &self.checks.request()?);
            self.next_check_ns = now_ns + consent_interval().as_nanos() as u64;
        }
        let report = now_ns >= self.next_report_ns;
        if report {
            self.next_report_ns = now_ns + report_interval_ns();
        }
        Ok(report)
    }

    /// Takes in what is neither media nor data.
    pub(super) fn take(&mut self, datagram: &[u8], socket: &UdpSocket) {
        if is_dtls(datagram) {
            self.association.feed.take(datagram);
        } else if is_stun(datagram)
            && let CheckEvent::Request(answer) = self.checks.take(datagram, self.remote)
        {
            send(socket, &answer);
        }
    }
}

/// What an endpoint that watches owes the server.
pub struct Watching {
    upkeep: Upkeep,
    seal: Context,
    ssrc: u32,
    highest: u16,
    wraps: u16,
    /// What is to be said of what came, if packets are numbered.
    arrivals: Option<Arrivals>,
    /// Payload type of retransmissions.
    rtx: Option<u8>,
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching").field("upkeep", &self.upkeep).finish_non_exhaustive()
    }
}

impl Watching {
    /// Takes a session over; its socket, and what opens its media.
    ///
    /// # Errors
    /// The socket is not connected.
    pub fn new(parts: Parts, now_ns: u64) -> anyhow::Result<(Self, Arc<UdpSocket>, Context)> {
        let (arrivals, rtx) = (parts.transport_cc.map(|extension| Arrivals::new(extension, now_ns)), parts.rtx);
        let (upkeep, (socket, seal, open)) = Upkeep::new(parts, now_ns)?;
        Ok((Self { upkeep, seal, ssrc: rand::random(), highest: 0, wraps: 0, arrivals, rtx }, socket, open))
    }

    /// Whether [`Self::turn`] has something to do.
    #[must_use]
    pub fn is_due(&self, now_ns: u64) -> bool {
        let says = self.arrivals.as_ref().is_some_and(|arrivals| arrivals.is_due(now_ns));
        says || now_ns >= self.upkeep.next_check_ns || now_ns >= self.upkeep.next_report_ns
    }

    /// Takes note of an RTP packet that came, if its receiver says what comes.
    ///
    /// # Errors
    /// It has no number.
    pub fn note(&mut self, packet: &[u8], arrived_ns: u64) -> anyhow::Result<()> {
        self.arrivals.as_mut().map_or(Ok(()), |arrivals| arrivals.note(packet, arrived_ns))
    }

    /// Whether there is nothing that it has still to say of what came.
    #[must_use]
    pub fn has_told(&self) -> bool {
        self.arrivals.as_ref().is_none_or(Arrivals::are_told)
    }

    /// Whether a packet of this payload type repeats another, or only probes the path.
    #[must_use]
    pub fn is_repeated(&self, payload_type: u8) -> bool {
        self.rtx == Some(payload_type)
    }

    /// Sends what is due, and says how many times it has said what came; `highest` is the highest sequence number of
    /// `ssrc`. The report claims that nothing was lost: what was is counted elsewhere, and the server is not to adapt
    /// to it.
    ///
    /// # Errors
    /// A cipher or the STUN crate fails.
    pub fn turn(&mut self, now_ns: u64, socket: &UdpSocket, ssrc: u32, highest: u16) -> anyhow::Result<u64> {
        let mut told = 0;
        if let Some(arrivals) = self.arrivals.as_mut().filter(|arrivals| arrivals.is_due(now_ns)) {
            for feedback in arrivals.take(now_ns, self.ssrc, ssrc) {
                send(socket, &self.seal.encrypt_rtcp(&feedback.marshal()?).context("SRTCP")?);
                told += 1;
            }
        }
        if !self.upkeep.turn(now_ns, socket)? {
            return Ok(told);
        }
        self.wraps = self.wraps.wrapping_add(u16::from(highest < self.highest));
        self.highest = highest;
        let last_sequence_number = (u32::from(self.wraps) << 16) | u32::from(highest);
        let reports = vec![ReceptionReport { ssrc, last_sequence_number, ..ReceptionReport::default() }];
        let report = ReceiverReport { ssrc: self.ssrc, reports, ..ReceiverReport::default() }.marshal()?;
        send(socket, &self.seal.encrypt_rtcp(&report).context("SRTCP")?);
        Ok(told)
    }

    /// Consent, and the way out.
    #[must_use]
    pub const fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Consent, and the way out, of an endpoint whose media has ended.
    #[must_use]
    pub fn into_upkeep(self) -> Upkeep {
        self.upkeep
    }

    /// Takes in what is neither RTP nor RTCP.
    pub fn take(&mut self, datagram: &[u8], socket: &UdpSocket) {
        self.upkeep.take(datagram, socket);
    }
}

/// What a publisher is to report of itself.
#[derive(Clone, Copy, Debug)]
pub struct SenderTotals {
    /// Stream.
    pub ssrc: u32,
    /// RTP time now.
    pub rtp_time: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// What an endpoint that publishes owes the server.
pub struct Publishing {
    upkeep: Upkeep,
    open: Context,
    next_read_ns: u64,
}

impl std::fmt::Debug for Publishing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publishing").field("upkeep", &self.upkeep).finish_non_exhaustive()
    }
}

impl Publishing {
    /// Takes a session over; its socket, and what seals its media.
    ///
    /// # Errors
    /// The socket is not connected.
    pub fn new(parts: Parts, now_ns: u64) -> anyhow::Result<(Self, Arc<UdpSocket>, Context)> {
        let (upkeep, (socket, seal, open)) = Upkeep::new(parts, now_ns)?;
        Ok((Self { upkeep, open, next_read_ns: now_ns }, socket, seal))
    }

    /// Whether [`Self::turn`] has something to do.
    #[must_use]
    pub const fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.next_read_ns
    }

    /// Sends what is due and reads what has come; whether a key frame is asked for.
    ///
    /// # Errors
    /// A cipher or the STUN crate fails.
    pub fn turn(
        &mut self,
        now_ns: u64,
        socket: &UdpSocket,
        seal: &mut Context,
        sent: SenderTotals,
    ) -> anyhow::Result<bool> {
        self.next_read_ns = now_ns + READ_EVERY_NS;
        if self.upkeep.turn(now_ns, socket)? {
            let SenderTotals { ssrc, rtp_time, packets: packet_count, octets: octet_count } = sent;
            let ntp_time = ntp_now();
            let report =
                SenderReport { ssrc, ntp_time, rtp_time, packet_count, octet_count, ..SenderReport::default() };
            send(socket, &seal.encrypt_rtcp(&report.marshal()?).context("SRTCP")?);
        }
        let (mut wanted, mut buffer) = (false, [0; 2_048]);
        for _ in 0..READ_AT_ONCE {
            let Ok(len) = socket.recv(&mut buffer) else { break };
            let datagram = &buffer[..len];
            // RFC 5761 section 4: these second bytes are RTCP's.
            if matches!(datagram, [128..=191, 192..=223, ..]) {
                wanted |= self.asks_for_key_frame(datagram)?;
            } else {
                self.upkeep.take(datagram, socket);
            }
        }
        Ok(wanted)
    }

    /// Its part of consent.
    #[must_use]
    pub const fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Consent, and the way out, of an endpoint whose media has ended.
    #[must_use]
    pub fn into_upkeep(self) -> Upkeep {
        self.upkeep
    }

    fn asks_for_key_frame(&mut self, datagram: &[u8]) -> anyhow::Result<bool> {
        let plain = self.open.decrypt_rtcp(datagram).context("RTCP for a publisher does not open")?;
        let packets = rtcp::packet::unmarshal(&mut plain.as_ref()).context("RTCP for a publisher")?;
        let asks = |packet: &(dyn Packet + Send + Sync)| {
            packet.as_any().is::<PictureLossIndication>() || packet.as_any().is::<FullIntraRequest>()
        };
        Ok(packets.iter().any(|packet| asks(packet.as_ref())))
    }
}

/// 32 bits of seconds, 32 of their fraction.
fn ntp_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    ((since.as_secs() + NTP_OFFSET_S) << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
}
