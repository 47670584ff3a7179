//! Requests about direct transports, and messages between the library and data producers and consumers.

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::consumer::RtpNotification;
use corecast_mediasoup_worker::fbs::data_consumer::{
    AddSubchannelResponse, MessageNotification, RemoveSubchannelResponse, SendResponse, SetSubchannelsResponse,
};
use corecast_mediasoup_worker::fbs::direct_transport::{DumpResponse, RtcpNotification};
use corecast_wire::{Command, CommandError, ConsumerId, DataConsumerId, Subchannels, TransportId};

use super::objects::Kind;
use super::{Answer, Answered, Asked, Door, Tells, Told, other_body};
use crate::refusal::{Outcome, Refusal};

/// What the worker says of a data consumer behind which too much waits: the library's word for it.
const FULL: &str = "sctpsendbufferfull";

impl Door {
    pub(super) fn create_direct_transport(
        &mut self,
        machine: &mut dyn Machine,
        router: &str,
        body: Option<Asked>,
    ) -> Answered {
        let Some(Asked::RouterCreateDirectTransportRequest(request)) = body else {
            return Err(other_body("ROUTER_CREATE_DIRECTTRANSPORT"));
        };
        let router = self.router_for(router, "Transport", &request.transport_id)?;
        let id = TransportId(self.objects.number());
        machine.execute(&Command::CreateDirectTransport { router, transport: id })?;
        let base = *request.options.base;
        self.add_transport(router, id, &request.transport_id, base, Kind::Direct);
        self.dump_direct(id).map(Some)
    }

    pub(super) fn dump_direct(&mut self, id: TransportId) -> Outcome<Answer> {
        let base = Box::new(self.dump_base(id)?);
        Ok(Answer::DirectTransportDumpResponse(Box::new(DumpResponse { base })))
    }

    /// A packet of a producer that the application sends.
    pub(super) fn send_rtp(&self, machine: &mut dyn Machine, name: &str, body: Option<Told>) -> Outcome<()> {
        let Some(Told::ProducerSendNotification(packet)) = body else { return Err(other_body("PRODUCER_SEND")) };
        let id = self.objects.producer_number(name)?;
        let Some(producer) = self.objects.producers.get(&id) else { return Ok(()) };
        machine.execute(&Command::SendPacket { transport: producer.transport, packet: packet.data })?;
        Ok(())
    }

    /// RTCP that the application sends.
    pub(super) fn send_rtcp(&self, machine: &mut dyn Machine, name: &str, body: Option<Told>) -> Outcome<()> {
        let Some(Told::TransportSendRtcpNotification(packet)) = body else {
            return Err(other_body("TRANSPORT_SEND_RTCP"));
        };
        let transport = self.objects.transport_number(name)?;
        machine.execute(&Command::SendPacket { transport, packet: packet.data })?;
        Ok(())
    }

    pub(super) fn hear_packet(&mut self, transport: TransportId, consumer: Option<ConsumerId>, data: Vec<u8>) {
        let Some(consumer) = consumer else {
            let Some(name) = self.objects.transports.get(&transport).map(|one| one.name.clone()) else { return };
            let body = Told::DirectTransportRtcpNotification(Box::new(RtcpNotification { data }));
            return self.notify(&name, Tells::DirecttransportRtcp, Some(body));
        };
        let Some(name) = self.objects.consumer_of_part(consumer).map(|one| one.name.clone()) else { return };
        let body = Told::ConsumerRtpNotification(Box::new(RtpNotification { data }));
        self.notify(&name, Tells::ConsumerRtp, Some(body));
    }

    /// A message of a data producer that the application sends.
    pub(super) fn send_data(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Told>) -> Outcome<()> {
        let Some(Told::DataProducerSendNotification(message)) = body else {
            return Err(other_body("DATAPRODUCER_SEND"));
        };
        let id = self.objects.data_producer_number(name)?;
        let to = Subchannels {
            any: message.subchannels.unwrap_or_default(),
            required: message.required_subchannel,
            ignored: message.ignored_subchannel,
        };
        let (ppid, payload) = (message.ppid, message.data);
        let transport = self.objects.data_producer(id)?.transport;
        let max = usize::try_from(self.objects.transport(transport)?.options.max_receive_message_size);
        if max.is_ok_and(|max| payload.len() > max) {
            return Err(Refusal::wrong(format!("the message exceeds maxReceiveMessageSize: {} bytes", payload.len())));
        }
        machine.execute(&Command::SendData { data_producer: id, ppid, payload, to })?;
        Ok(())
    }

    /// Which subchannels a data consumer listens to.
    pub(super) fn change_subchannels(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        body: Option<Asked>,
    ) -> Answered {
        let data_consumer = self.objects.data_consumer_number(name)?;
        let mut own = self.objects.data_consumer(data_consumer)?.subchannels.clone();
        match &body {
            Some(Asked::DataConsumerSetSubchannelsRequest(request)) => {
                own = request.subchannels.iter().copied().collect();
            }
            Some(Asked::DataConsumerAddSubchannelRequest(request)) => {
                own.insert(request.subchannel);
            }
            Some(Asked::DataConsumerRemoveSubchannelRequest(request)) => {
                own.remove(&request.subchannel);
            }
            _ => return Err(other_body("DATACONSUMER_SET_SUBCHANNELS")),
        }
        let subchannels: Vec<u16> = own.iter().copied().collect();
        machine.execute(&Command::SetSubchannels { data_consumer, subchannels: subchannels.clone() })?;
        self.objects.data_consumer(data_consumer)?.subchannels = own;
        Ok(Some(match body {
            Some(Asked::DataConsumerAddSubchannelRequest(_)) => {
                Answer::DataConsumerAddSubchannelResponse(Box::new(AddSubchannelResponse { subchannels }))
            }
            Some(Asked::DataConsumerRemoveSubchannelRequest(_)) => {
                Answer::DataConsumerRemoveSubchannelResponse(Box::new(RemoveSubchannelResponse { subchannels }))
            }
            _ => Answer::DataConsumerSetSubchannelsResponse(Box::new(SetSubchannelsResponse { subchannels })),
        }))
    }

    /// A message to one data consumer.
    pub(super) fn send_data_to(&mut self, machine: &mut dyn Machine, name: &str, body: Option<Asked>) -> Answered {
        let Some(Asked::DataConsumerSendRequest(message)) = body else {
            return Err(other_body("DATACONSUMER_SEND"));
        };
        let data_consumer = self.sctp_consumer(name)?;
        let consumer = self.objects.data_consumer(data_consumer)?;
        let (transport, producer, is_paused) = (consumer.transport, consumer.producer, consumer.is_paused);
        let max = usize::try_from(self.objects.transport(transport)?.options.max_send_message_size);
        let (ppid, payload) = (message.ppid, message.data);
        if max.is_ok_and(|max| payload.len() > max) {
            return Err(Refusal::wrong(format!("the message exceeds maxSendMessageSize: {} bytes", payload.len())));
        }
        if is_paused || self.objects.data_producer(producer)?.is_paused {
            return Err(Refusal::Error("message send failed".into()));
        }
        machine.execute(&Command::SendDataTo { data_consumer, ppid, payload }).map_err(|error| match error {
            CommandError::Invalid { cause, .. } if cause == FULL => Refusal::Error(cause),
            CommandError::Invalid { .. } => Refusal::Error(format!("message send failed: {error}")),
            error => error.into(),
        })?;
        let buffered_amount = super::data::sent_data(machine, data_consumer)?.buffered_amount;
        Ok(Some(Answer::DataConsumerSendResponse(Box::new(SendResponse { buffered_amount }))))
    }

    pub(super) fn hear_message(&mut self, id: DataConsumerId, ppid: u32, data: Vec<u8>) {
        let Some(consumer) = self.objects.data_consumers.get(&id) else { return };
        let (name, transport) = (consumer.name.clone(), consumer.transport);
        let max = self.objects.transports.get(&transport).map(|transport| transport.options.max_send_message_size);
        if max.and_then(|max| usize::try_from(max).ok()).is_some_and(|max| data.len() > max) {
            tracing::warn!(name, bytes = data.len(), "a message is longer than maxSendMessageSize");
            return;
        }
        let body = Told::DataConsumerMessageNotification(Box::new(MessageNotification { ppid, data }));
        self.notify(&name, Tells::DataconsumerMessage, Some(body));
    }
}
