//! The door: takes the library's requests from the channel, says them to the worker as commands, and answers; tells the
//! library what the worker tells.
//!
//! Owns the names: the library knows objects by text, the worker by number. What the library gave when an object was
//! made is kept here (`objects`), because a dump gives it back. Each request is applied completely or refused with a
//! reason; one that is not known here is refused as well.

mod closing;
mod consuming;
mod data;
mod direct;
mod events;
mod listen;
mod media;
mod objects;
mod observers;
mod pipe;
mod plain;
mod rates;
mod router;
mod rtp;
mod scores;
mod secrets;
mod stats;
mod traces;
mod transport;
mod webrtc;
mod worker;

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corecast_dataplane::{Control, Machine, Served};
use corecast_mediasoup_worker::fbs::web_rtc_transport::Fingerprint;
use corecast_mediasoup_worker::fbs::{log, message, notification, request, response};
use corecast_wire::{Command, Event};
use planus::ReadAsRoot;

use crate::certificate::Certificate;
use crate::channel::Channel;
use crate::log::Log;
use crate::refusal::{Outcome, Refusal};
use objects::Objects;

pub(crate) use notification::{Body as Told, Event as Tells};
pub(crate) use request::{Body as Asked, Method};
pub(crate) use response::Body as Answer;

/// Between two looks at what is told by time.
const TICK: Duration = Duration::from_millis(100);
const TICKS_PER_SECOND: u64 = 10;

/// What a request is answered with, if it is accepted: some have nothing to say.
type Answered = Outcome<Option<Answer>>;

/// One library's door to one worker.
pub(crate) struct Door {
    channel: Channel,
    log: Arc<Log>,
    closing: Arc<AtomicBool>,
    /// Fingerprints of our certificate, by each function that the library knows.
    fingerprints: Vec<Fingerprint>,
    /// Ports from which those are given theirs that name none.
    ports: (u16, u16),
    objects: Objects,
    /// What is to be said to the worker because of what it told.
    waiting: Vec<Command>,
    /// It was said that packets are given no ids.
    said_packet_ids: bool,
    /// Ticks so far, and when the last one was.
    ticks: u64,
    ticked_at: Instant,
}

impl Door {
    /// `closing` is set when a signal asks the worker to close.
    pub(crate) fn new(
        channel: Channel,
        log: Arc<Log>,
        closing: Arc<AtomicBool>,
        certificate: &Certificate,
        ports: (u16, u16),
    ) -> Self {
        Self {
            channel,
            log,
            closing,
            fingerprints: webrtc::fingerprints(certificate),
            ports,
            objects: Objects::default(),
            waiting: Vec::new(),
            said_packet_ids: false,
            ticks: 0,
            ticked_at: Instant::now(),
        }
    }

    /// Takes one message. True if the library wants the worker to close.
    fn take(&mut self, machine: &mut dyn Machine, bytes: &[u8]) -> bool {
        let data = message::MessageRef::read_as_root(bytes).and_then(|message| message.data());
        match data {
            Ok(message::BodyRef::Request(request)) => self.take_request(machine, request, bytes),
            Ok(message::BodyRef::Notification(notification)) => {
                match notification.try_into() {
                    Ok(notification::Notification { event: Tells::WorkerClose, .. }) => return true,
                    Ok(notification) => self.take_notification(machine, notification),
                    Err(error) => tracing::error!(%error, "a notification cannot be read"),
                };
            }
            Ok(_) => tracing::error!("a message that is neither request nor notification"),
            Err(error) => tracing::error!(%error, "a message cannot be read"),
        }
        false
    }

    fn take_request(&mut self, machine: &mut dyn Machine, request: request::RequestRef<'_>, bytes: &[u8]) {
        let Ok(id) = request.id() else {
            tracing::error!("a request without a number cannot be answered");
            return;
        };
        let answer = if matches!(request.method(), Ok(Method::TransportConsume)) {
            self.consume(machine, request, bytes)
        } else {
            let request = request::Request::try_from(request).map_err(Refusal::from);
            request.and_then(|request| self.answer(machine, request))
        };
        let refusal = answer.as_ref().err().map(|refusal| (refusal.kind().to_owned(), refusal.to_string()));
        let (error, reason) = refusal.unzip();
        let response =
            response::Response { id, accepted: answer.is_ok(), body: answer.unwrap_or_default(), error, reason };
        self.channel.send(message::Body::Response(Box::new(response)));
        while let Some(event) = machine.next_event() {
            self.hear(event);
        }
    }

    fn answer(&mut self, machine: &mut dyn Machine, request: request::Request) -> Answered {
        let request::Request { method, handler_id: name, body, .. } = request;
        match method {
            Method::WorkerDump => Ok(Some(self.dump_worker())),
            Method::WorkerGetResourceUsage => worker::resource_usage().map(Some),
            Method::WorkerUpdateSettings => self.update_settings(body),
            Method::WorkerCreateWebrtcserver => self.create_webrtc_server(machine, body),
            Method::WorkerWebrtcserverClose => self.close_webrtc_server(machine, body),
            Method::WorkerCreateRouter => self.create_router(machine, body),
            Method::WorkerCloseRouter => self.close_router(machine, body),
            Method::WebrtcserverDump => self.dump_webrtc_server(&name),
            Method::RouterDump => self.dump_router(&name),
            Method::RouterCreateWebrtctransport | Method::RouterCreateWebrtctransportWithServer => {
                self.create_webrtc_transport(machine, &name, body)
            }
            Method::RouterCreatePipetransport => self.create_pipe_transport(machine, &name, body),
            Method::RouterCreateDirecttransport => self.create_direct_transport(machine, &name, body),
            Method::RouterCreatePlaintransport => self.create_plain_transport(machine, &name, body),
            Method::RouterCreateActivespeakerobserver | Method::RouterCreateAudiolevelobserver => {
                self.create_observer(machine, &name, body)
            }
            Method::RouterCloseRtpobserver => self.close_observer(machine, body),
            Method::RtpobserverPause => self.pause_observer(machine, &name, true),
            Method::RtpobserverResume => self.pause_observer(machine, &name, false),
            Method::RtpobserverAddProducer | Method::RtpobserverRemoveProducer => self.observe(machine, &name, body),
            Method::RouterCloseTransport => self.close_transport_of(machine, &name, body),
            Method::TransportDump => self.dump_transport(&name),
            Method::TransportGetStats => self.transport_stats(machine, &name),
            Method::TransportSetMaxIncomingBitrate
            | Method::TransportSetMaxOutgoingBitrate
            | Method::TransportSetMinOutgoingBitrate => self.set_bitrate(machine, &name, body),
            Method::TransportRestartIce => self.restart_ice(machine, &name),
            Method::TransportEnableTraceEvent => self.trace_transport(machine, &name, body),
            Method::WebrtctransportConnect => self.connect_webrtc(machine, &name, body),
            Method::PipetransportConnect => self.connect_pipe(machine, &name, body),
            Method::PlaintransportConnect => self.connect_plain(machine, &name, body),
            _ => self.answer_media(machine, method, &name, body),
        }
    }

    fn answer_media(&mut self, machine: &mut dyn Machine, method: Method, name: &str, body: Option<Asked>) -> Answered {
        match method {
            Method::TransportProduce => self.produce(machine, name, body),
            Method::TransportProduceData => self.produce_data(machine, name, body),
            Method::TransportConsumeData => self.consume_data(machine, name, body),
            Method::TransportCloseProducer => self.close_producer(machine, body),
            Method::TransportCloseConsumer => self.close_consumer(machine, body),
            Method::TransportCloseDataproducer => self.close_data_producer(machine, body),
            Method::TransportCloseDataconsumer => self.close_data_consumer(machine, body),
            Method::ProducerDump => self.dump_producer(machine, name),
            Method::ProducerGetStats => self.producer_stats(machine, name),
            Method::ProducerPause => self.pause_producer(machine, name, true),
            Method::ProducerResume => self.pause_producer(machine, name, false),
            Method::ConsumerDump => self.dump_consumer(name),
            Method::ConsumerGetStats => self.consumer_stats(machine, name),
            Method::ConsumerPause => self.pause_consumer(machine, name, true),
            Method::ConsumerResume => self.pause_consumer(machine, name, false),
            Method::ConsumerSetPreferredLayers => self.set_preferred_layers(machine, name, body),
            Method::ConsumerSetPriority => self.set_priority(machine, name, body),
            Method::ConsumerRequestKeyFrame => self.request_key_frame(machine, name),
            Method::ProducerEnableTraceEvent | Method::ConsumerEnableTraceEvent => {
                self.trace_media(machine, name, body)
            }
            Method::DataproducerDump => self.dump_data_producer(name),
            Method::DataproducerGetStats => self.data_producer_stats(machine, name),
            Method::DataproducerPause => self.pause_data_producer(machine, name, true),
            Method::DataproducerResume => self.pause_data_producer(machine, name, false),
            Method::DataconsumerDump => {
                let id = self.objects.data_consumer_number(name)?;
                self.dump_data_consumer(machine, id).map(Some)
            }
            Method::DataconsumerGetStats => self.data_consumer_stats(machine, name),
            Method::DataconsumerPause => self.pause_data_consumer(machine, name, true),
            Method::DataconsumerResume => self.pause_data_consumer(machine, name, false),
            Method::DataconsumerSend => self.send_data_to(machine, name, body),
            Method::DataconsumerSetSubchannels
            | Method::DataconsumerAddSubchannel
            | Method::DataconsumerRemoveSubchannel => self.change_subchannels(machine, name, body),
            Method::DataconsumerGetBufferedAmount => self.buffered_amount(machine, name),
            Method::DataconsumerSetBufferedAmountLowThreshold => self.set_low_threshold(machine, name, body),
            _ => Err(Refusal::Error(format!("corecast's worker does not have this method yet [method:{method:?}]"))),
        }
    }

    fn take_notification(&mut self, machine: &mut dyn Machine, notification: notification::Notification) {
        let notification::Notification { handler_id, event, body } = notification;
        let taken = match event {
            Tells::DataproducerSend => self.send_data(machine, &handler_id, body),
            Tells::ProducerSend => self.send_rtp(machine, &handler_id, body),
            Tells::TransportSendRtcp => self.send_rtcp(machine, &handler_id, body),
            _ => Err(Refusal::Error("corecast's worker does not take this notification yet".into())),
        };
        if let Err(refusal) = taken {
            tracing::error!(?event, %refusal, "a notification failed");
        }
    }

    /// What the library is told by time.
    fn tick(&mut self, machine: &mut dyn Machine) {
        if self.ticked_at.elapsed() < TICK {
            return;
        }
        self.ticked_at = Instant::now();
        self.ticks += 1;
        self.follow_scores(machine, self.ticks);
        if self.ticks.is_multiple_of(TICKS_PER_SECOND) {
            self.trace(machine);
        }
    }

    /// Says to the worker what follows from what it told.
    fn follow_up(&mut self, machine: &mut dyn Machine) {
        for command in std::mem::take(&mut self.waiting) {
            // What it is about may have closed meanwhile.
            if let Err(error) = machine.execute(&command) {
                tracing::debug!(%error, ?command, "too late");
            }
        }
        while let Some(event) = machine.next_event() {
            self.hear(event);
        }
    }

    /// Tells the library something about the object of this name.
    fn notify(&mut self, handler_id: &str, event: Tells, body: Option<Told>) {
        let notification = notification::Notification { handler_id: handler_id.to_owned(), event, body };
        self.channel.send(message::Body::Notification(Box::new(notification)));
    }
}

/// The answer to a request that changes something and has nothing to say.
fn done(machine: &mut dyn Machine, command: &Command) -> Answered {
    machine.execute(command)?;
    Ok(None)
}

/// The refusal of a request whose body is another method's, or missing.
fn other_body(method: &str) -> Refusal {
    Refusal::wrong(format!("the request has no body of its method [method:{method}]"))
}

impl Control for Door {
    fn fd(&self) -> BorrowedFd<'_> {
        self.channel.fd()
    }

    fn serve(&mut self, machine: &mut dyn Machine) -> Served {
        self.channel.read();
        let mut framing = self.channel.take_framing();
        let mut served = Served::All;
        loop {
            if !machine.has_time() {
                served = Served::More;
                break;
            }
            let Some(message) = framing.next_message() else { break };
            if self.take(machine, message) {
                return Served::Ended;
            }
        }
        self.channel.give_back(framing);
        self.follow_up(machine);
        self.tick(machine);
        while let Some(data) = self.log.next() {
            self.channel.send(message::Body::Log(Box::new(log::Log { data })));
        }
        self.channel.flush();
        if self.channel.has_ended() && served == Served::All {
            eprintln!("channel remotely closed, closing myself");
            return Served::Ended;
        }
        if self.closing.load(Ordering::Relaxed) { Served::Ended } else { served }
    }

    fn tell(&mut self, event: Event) {
        self.hear(event);
    }

    fn has_backlog(&self) -> bool {
        self.channel.has_backlog() || !self.waiting.is_empty()
    }

    fn drain(&mut self) {
        self.channel.flush();
    }
}
