//! Redundant sound (RFC 2198) that is made of Opus which comes without.

use serde_json::Value;

use super::capabilities::router_capabilities;
use super::negotiate::red_of;
use super::parameters::{CodecLike, RtpCodecParameters, RtpParameters};

/// A producer's receivers may have redundancy, whether or not its sender has it: of Opus only.
pub(crate) fn allow_redundancy(consumable: &mut RtpParameters) {
    let Some(opus) = consumable.codecs.first().filter(|codec| codec.mime_type.eq_ignore_ascii_case("audio/opus"))
    else {
        return;
    };
    let carried = opus.payload_type;
    let router = router_capabilities().codecs.iter().find(|codec| codec.is_red());
    let Some(red) = router.filter(|_| red_of(&consumable.codecs, carried).is_none()) else { return };
    let Some(payload_type) = red.preferred_payload_type else { return };
    consumable.codecs.push(RtpCodecParameters {
        mime_type: red.mime_type.clone(),
        payload_type,
        clock_rate: red.clock_rate,
        channels: red.channels,
        parameters: [(format!("{carried}/{carried}"), Value::from(""))].into_iter().collect(),
        rtcp_feedback: red.rtcp_feedback.clone(),
    });
}

/// Puts the list of payload types, which has no name (`100/100`), behind an empty one. mediasoup-client writes
/// `name=value` of each parameter, and what it then writes, `=100/100`, browsers take for the list; `100/100=` they do
/// not.
pub(crate) fn name_lists(parameters: &mut RtpParameters) {
    for red in parameters.codecs.iter_mut().filter(|codec| codec.is_red()) {
        let lists: Vec<_> = red.parameters.keys().filter(|name| name.contains('/')).cloned().collect();
        for list in lists {
            red.parameters.remove(&list);
            red.parameters.insert(String::new(), Value::from(list));
        }
    }
}

#[cfg(test)]
#[path = "redundancy_tests.rs"]
mod tests;
