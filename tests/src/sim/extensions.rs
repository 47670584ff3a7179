//! Header extensions that the machine writes for every consumer: MID (RFC 9143), abs-send-time, transport-wide
//! sequence numbers.

use corecast_wire::{ConsumeOptions, HeaderExtension};
use rtp::header::{Extension, Header};

use super::consumer::{Broken, check};

/// Unix time at the beginning of a run, in nanoseconds.
pub const UNIX_TIME_NS: u64 = 1_800_000_000_000_000_000;
/// Seconds from the NTP epoch to the Unix epoch.
const NTP_TO_UNIX_S: u128 = 2_208_988_800;

/// Which of the stamps, time and transport-wide number, a consumer's packets carry: none if its receiver may ask for
/// them again and they have no other stream to come on.
const fn is_stamped(options: &ConsumeOptions) -> bool {
    !options.nack || options.rtx.is_some()
}

/// Checks what is new in a packet that leaves at `now_ns`. `next` is the transport's next number; true if it was used.
///
/// # Errors
/// Which extension is wrong.
pub fn check_extensions(
    options: &ConsumeOptions,
    header: &Header,
    now_ns: u64,
    next: &mut u16,
) -> Result<bool, Broken> {
    let negotiated = |wanted| options.header_extensions.iter().find(|one| one.extension == wanted);
    let found = |wanted| -> Option<&Extension> {
        let id = negotiated(wanted)?.receiver_id;
        header.extensions.iter().find(|extension| extension.id == id)
    };
    let mid = found(HeaderExtension::Mid).map(|extension| &extension.payload[..]);
    let expected = options.mid.as_ref().filter(|_| negotiated(HeaderExtension::Mid).is_some());
    check!(mid == expected.map(|mid| mid.as_bytes()), "MID is {mid:?} instead of {expected:?}");

    let stamped = |wanted| negotiated(wanted).is_some() && is_stamped(options);
    let time = found(HeaderExtension::AbsSendTime).map(|extension| extension.payload.to_vec());
    let expected = stamped(HeaderExtension::AbsSendTime).then(|| {
        let since_ntp_epoch_ns = u128::from(UNIX_TIME_NS + now_ns) + NTP_TO_UNIX_S * 1_000_000_000;
        let ticks = since_ntp_epoch_ns * (1 << 18) / 1_000_000_000;
        u32::try_from(ticks % (1 << 24)).expect("24 bits").to_be_bytes()[1..].to_vec()
    });
    check!(time == expected, "abs-send-time is {time:?} instead of {expected:?}");

    let number = found(HeaderExtension::TransportCc).map(|extension| extension.payload.to_vec());
    let counts = stamped(HeaderExtension::TransportCc);
    let expected = counts.then(|| next.to_be_bytes().to_vec());
    check!(number == expected, "transport-wide number is {number:?} instead of {expected:?}");
    *next = next.wrapping_add(u16::from(counts));
    Ok(counts)
}
