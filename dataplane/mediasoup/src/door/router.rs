//! Requests to a router: transports are made and listed here.

use std::collections::BTreeSet;

use corecast_mediasoup_worker::fbs::common::{StringString, StringStringArray};
use corecast_mediasoup_worker::fbs::router::DumpResponse;
use corecast_mediasoup_worker::fbs::transport::Options;
use corecast_wire::{OutgoingBitrates, RouterId, SctpState, TransportId};

use super::objects::{Kind, Named, RtpObserver, RtpRates, Transport};
use super::rates::Rate;
use super::{Answer, Answered, Door};
use crate::refusal::Outcome;

impl Door {
    /// Enters a transport that the worker has.
    pub(super) fn add_transport(
        &mut self,
        router: RouterId,
        id: TransportId,
        name: &str,
        options: Options,
        kind: Kind,
    ) {
        let initial_bps = options.initial_available_outgoing_bitrate.unwrap_or(0);
        self.objects.add(name, Named::Transport(id));
        if let Some(router) = self.objects.routers.get_mut(&router) {
            router.transports.insert(id);
        }
        let transport = Transport {
            name: name.to_owned(),
            router,
            kind,
            producers: BTreeSet::new(),
            consumers: BTreeSet::new(),
            data_producers: BTreeSet::new(),
            data_consumers: BTreeSet::new(),
            is_connected: false,
            sctp_streams: (0, 0),
            sctp_state: options.enable_sctp.then_some(SctpState::New),
            traces: Vec::new(),
            feedback: None,
            max_incoming_bps: 0,
            outgoing: OutgoingBitrates { initial_bps, ..OutgoingBitrates::default() },
            received: Rate::new(),
            sent: Rate::new(),
            rtp: RtpRates {
                received: Rate::new(),
                rtx_received: Rate::new(),
                sent: Rate::new(),
                rtx_sent: Rate::new(),
                probation_sent: Rate::new(),
            },
            options,
        };
        self.objects.transports.insert(id, transport);
    }

    pub(super) fn dump_router(&mut self, name: &str) -> Answered {
        let id = self.objects.router_number(name)?;
        let router = self.objects.router(id)?;
        let (transports, observers) = (router.transports.clone(), router.observers.clone());
        let objects = &self.objects;
        let transports: Vec<&Transport> = transports.iter().filter_map(|id| objects.transports.get(id)).collect();
        let observers: Vec<&RtpObserver> = observers.iter().filter_map(|id| objects.observers.get(id)).collect();
        let mut dump = DumpResponse { id: name.to_owned(), ..DumpResponse::default() };
        dump.rtp_observer_ids = observers.iter().map(|observer| observer.name.clone()).collect();
        for transport in transports {
            dump.transport_ids.push(transport.name.clone());
            for producer in transport.producers.iter().filter_map(|id| objects.producers.get(id)) {
                let consumers = producer.consumers.iter().filter_map(|id| objects.consumers.get(id));
                dump.map_producer_id_consumer_ids.push(StringStringArray {
                    key: producer.name.clone(),
                    values: consumers.map(|consumer| consumer.name.clone()).collect(),
                });
            }
            for (id, producer) in transport.producers.iter().filter_map(|id| Some((id, objects.producers.get(id)?))) {
                let observers = observers.iter().filter(|observer| observer.producers.contains(id));
                let values = observers.map(|observer| observer.name.clone()).collect();
                dump.map_producer_id_observer_ids.push(StringStringArray { key: producer.name.clone(), values });
            }
            for consumer in transport.consumers.iter().filter_map(|id| objects.consumers.get(id)) {
                let Some(producer) = objects.producers.get(&consumer.producer) else { continue };
                dump.map_consumer_id_producer_id
                    .push(StringString { key: consumer.name.clone(), value: producer.name.clone() });
            }
            for producer in transport.data_producers.iter().filter_map(|id| objects.data_producers.get(id)) {
                let consumers = producer.consumers.iter().filter_map(|id| objects.data_consumers.get(id));
                dump.map_data_producer_id_data_consumer_ids.push(StringStringArray {
                    key: producer.name.clone(),
                    values: consumers.map(|consumer| consumer.name.clone()).collect(),
                });
            }
            for consumer in transport.data_consumers.iter().filter_map(|id| objects.data_consumers.get(id)) {
                let Some(producer) = objects.data_producers.get(&consumer.producer) else { continue };
                dump.map_data_consumer_id_data_producer_id
                    .push(StringString { key: consumer.name.clone(), value: producer.name.clone() });
            }
        }
        Ok(Some(Answer::RouterDumpResponse(Box::new(dump))))
    }

    /// The router of a request that makes something with a new name.
    pub(super) fn router_for(&self, router: &str, kind: &str, name: &str) -> Outcome<RouterId> {
        let id = self.objects.router_number(router)?;
        self.objects.check_free(kind, name)?;
        Ok(id)
    }
}
