//! What closes with what, and who is told: consumers hear of the end of their producer; all else the library knows by
//! itself, since it asked for it.

use corecast_dataplane::Machine;
use corecast_wire::{Command, ConsumerId, DataConsumerId, DataProducerId, ProducerId, RouterId, TransportId};

use super::objects::Kind;
use super::{Answered, Asked, Door, Tells, other_body};
use crate::refusal::Outcome;

impl Door {
    pub(super) fn close_router(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::WorkerCloseRouterRequest(request)) = body else {
            return Err(other_body("WORKER_CLOSE_ROUTER"));
        };
        let id = self.objects.router_number(&request.router_id)?;
        let router = self.objects.router(id)?;
        let (transports, observers) = (router.transports.clone(), router.observers.clone());
        machine.execute(&Command::CloseRouter { router: id })?;
        for transport in transports {
            self.forget_transport(machine, transport)?;
        }
        observers.into_iter().for_each(|observer| self.forget_observer(observer));
        self.objects.remove(&request.router_id);
        self.objects.routers.remove(&id);
        Ok(None)
    }

    pub(super) fn close_transport_of(
        &mut self,
        machine: &mut dyn Machine,
        router: &str,
        body: Option<Asked>,
    ) -> Answered {
        let Some(Asked::RouterCloseTransportRequest(request)) = body else {
            return Err(other_body("ROUTER_CLOSE_TRANSPORT"));
        };
        let _: RouterId = self.objects.router_number(router)?;
        let id = self.objects.transport_number(&request.transport_id)?;
        self.close_transport(machine, id)?;
        Ok(None)
    }

    /// Closes a transport and what is inside it.
    pub(super) fn close_transport(&mut self, machine: &mut dyn Machine, id: TransportId) -> Outcome<()> {
        machine.execute(&Command::CloseTransport { transport: id })?;
        self.forget_transport(machine, id)
    }

    /// A transport has closed in the worker.
    fn forget_transport(&mut self, machine: &mut dyn Machine, id: TransportId) -> Outcome<()> {
        let transport = self.objects.transport(id)?.clone();
        transport.producers.iter().for_each(|producer| self.forget_producer(*producer));
        transport.consumers.iter().for_each(|consumer| self.forget_consumer(*consumer));
        transport.data_producers.iter().for_each(|producer| self.forget_data_producer(*producer));
        transport.data_consumers.iter().for_each(|consumer| self.forget_data_consumer(*consumer));
        self.objects.remove(&transport.name);
        self.objects.transports.remove(&id);
        if let Some(router) = self.objects.routers.get_mut(&transport.router) {
            router.transports.remove(&id);
        }
        if let Kind::WebRtc(webrtc) = &transport.kind {
            if let Some(server) = self.objects.servers.get_mut(&webrtc.server) {
                server.transports.remove(&id);
            }
            if webrtc.owns_server {
                self.objects.own_servers.remove(&webrtc.server);
                machine.execute(&Command::CloseWebRtcServer { server: webrtc.server })?;
            }
        }
        Ok(())
    }

    /// A producer closes, and its consumers are told.
    pub(super) fn forget_producer(&mut self, id: ProducerId) {
        let Some(producer) = self.objects.producers.remove(&id) else { return };
        self.objects.remove(&producer.name);
        if let Some(transport) = self.objects.transports.get_mut(&producer.transport) {
            transport.producers.remove(&id);
        }
        for observer in self.objects.observers.values_mut() {
            observer.producers.remove(&id);
        }
        for consumer in producer.consumers {
            if let Some(name) = self.objects.consumers.get(&consumer).map(|consumer| consumer.name.clone()) {
                self.notify(&name, Tells::ConsumerProducerClose, None);
            }
            self.forget_consumer(consumer);
        }
    }

    pub(super) fn forget_consumer(&mut self, id: ConsumerId) {
        let Some(consumer) = self.objects.remove_consumer(id) else { return };
        self.objects.remove(&consumer.name);
        if let Some(transport) = self.objects.transports.get_mut(&consumer.transport) {
            transport.consumers.remove(&id);
        }
        if let Some(producer) = self.objects.producers.get_mut(&consumer.producer) {
            producer.consumers.remove(&id);
        }
    }

    /// A data producer closes, and its consumers are told.
    pub(super) fn forget_data_producer(&mut self, id: DataProducerId) {
        let Some(producer) = self.objects.data_producers.remove(&id) else { return };
        self.objects.remove(&producer.name);
        if let Some(transport) = self.objects.transports.get_mut(&producer.transport) {
            transport.data_producers.remove(&id);
        }
        for consumer in producer.consumers {
            if let Some(name) = self.objects.data_consumers.get(&consumer).map(|consumer| consumer.name.clone()) {
                self.notify(&name, Tells::DataconsumerDataproducerClose, None);
            }
            self.forget_data_consumer(consumer);
        }
    }

    pub(super) fn forget_data_consumer(&mut self, id: DataConsumerId) {
        let Some(consumer) = self.objects.data_consumers.remove(&id) else { return };
        self.objects.remove(&consumer.name);
        if let Some(transport) = self.objects.transports.get_mut(&consumer.transport) {
            transport.data_consumers.remove(&id);
        }
        if let Some(producer) = self.objects.data_producers.get_mut(&consumer.producer) {
            producer.consumers.remove(&id);
        }
    }
}
