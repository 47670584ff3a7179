//! Trace events: what a transport's path is taken to carry, for applications that have asked for it.

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::common::TraceDirection;
use corecast_mediasoup_worker::fbs::transport::{BweTraceInfo, BweType, TraceEventType, TraceInfo, TraceNotification};
use corecast_wire::{Command, Object, TransportId};

use super::objects::Kind;
use super::transport::{now_ms, transport_of};
use super::{Door, Tells, Told};

impl Door {
    /// Tells of the transports whose estimates are traced. Called once a second, which is mediasoup's least.
    pub(super) fn trace(&mut self, machine: &mut dyn Machine) {
        let traced = self.objects.transports.iter().filter(|(_, one)| one.traces.contains(&TraceEventType::Bwe));
        let traced: Vec<TransportId> = traced.map(|(id, _)| *id).collect();
        for id in traced {
            let reply = machine.execute(&Command::ObjectStats { object: Object::Transport(id) });
            let outgoing = reply.ok().and_then(transport_of).and_then(|stats| stats.outgoing);
            let Some((outgoing, available)) = outgoing.and_then(|one| Some((one, one.available_bps?))) else {
                continue;
            };
            let Some(transport) = self.objects.transports.get(&id) else { continue };
            let Kind::WebRtc(webrtc) = &transport.kind else { continue };
            let info = BweTraceInfo {
                bwe_type: BweType::TransportCc,
                desired_bitrate: outgoing.wanted_bps,
                effective_desired_bitrate: outgoing.wanted_bps,
                min_bitrate: webrtc.outgoing.min_bps,
                max_bitrate: webrtc.outgoing.max_bps,
                start_bitrate: webrtc.outgoing.initial_bps,
                max_padding_bitrate: 0,
                available_bitrate: available,
            };
            let name = transport.name.clone();
            let body = Told::TransportTraceNotification(Box::new(TraceNotification {
                type_: TraceEventType::Bwe,
                timestamp: now_ms(),
                direction: TraceDirection::DirectionOut,
                info: Some(TraceInfo::BweTraceInfo(Box::new(info))),
            }));
            self.notify(&name, Tells::TransportTrace, Some(body));
        }
    }
}
