//! How packets of a transport get into the outbox: counted, and RTCP sealed.

use corecast_wire::Discard;

use super::{Traffic, Transport};
use crate::io::{Outbox, Path};
use crate::media::SlotRef;
use crate::rtcp::Writer;
use crate::srtp::SealError;

/// Room for the longest compound: one that is closed at 1,000 bytes, plus one sender report with its CNAME, plus
/// answers to reference times if there is room.
const RTCP_ROOM_BYTES: usize = 1_400;

/// One RTCP datagram of a transport, as `write` writes it. Nothing is sent if it writes nothing.
pub(crate) fn send_rtcp(
    transport: &mut Transport,
    outbox: &mut Outbox,
    write: impl FnOnce(&mut Writer<'_>),
) -> Result<(), Discard> {
    let path = transport.path(transport.rtcp_flow()).ok_or(Discard::NotConnected)?;
    let overhead = transport.security.as_ref().map_or(0, |security| security.sealer.rtcp_overhead());
    let room = outbox.reserve(RTCP_ROOM_BYTES + overhead).ok_or(Discard::OutboxFull)?;
    let mut writer = Writer::new(room.get_mut(..RTCP_ROOM_BYTES).unwrap_or_default());
    write(&mut writer);
    let len = writer.len();
    if len == 0 {
        return Ok(());
    }
    let len = match &mut transport.security {
        None => len,
        Some(security) => security.sealer.seal_rtcp(room, len).map_err(SealError::discard)?,
    };
    push_counted(outbox, &mut transport.sent, path, len, None);
    Ok(())
}

/// Puts a packet into the outbox that was written into its last reservation, and counts it.
pub(crate) fn push_counted(
    outbox: &mut Outbox,
    sent: &mut Traffic,
    path: Path,
    len: usize,
    payload: Option<(SlotRef, usize)>,
) {
    sent.count(len + payload.map_or(0, |(_, payload_len)| payload_len));
    outbox.push(path, len, payload);
}
