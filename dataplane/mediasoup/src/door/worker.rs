//! Requests to the worker itself: settings, usage, routers and WebRTC servers.

use std::collections::BTreeSet;

use corecast_dataplane::Machine;
use corecast_mediasoup_worker::fbs::web_rtc_server;
use corecast_mediasoup_worker::fbs::worker::{ChannelMessageHandlers, DumpResponse, ResourceUsageResponse};
use corecast_mediasoup_worker::fbs::{transport, transport::Protocol};
use corecast_wire::{Command, Reply, RouterId, WebRtcServerId};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::objects::{Kind, Listening, Named, Router, WebRtcServer};
use super::{Answer, Answered, Asked, Door, listen, other_body};
use crate::log::Tags;
use crate::refusal::{Outcome, Refusal};

impl Door {
    pub(super) fn dump_worker(&self) -> Answer {
        let names = self.objects.names();
        let takes_notifications =
            |named: &Named| matches!(named, Named::Transport(_) | Named::Producer(_) | Named::DataProducer(_));
        let notified = self.objects.names().filter(|(_, named)| takes_notifications(named));
        Answer::WorkerDumpResponse(Box::new(DumpResponse {
            pid: std::process::id(),
            web_rtc_server_ids: self.objects.servers.values().map(|server| server.name.clone()).collect(),
            router_ids: self.objects.routers.values().map(|router| router.name.clone()).collect(),
            channel_message_handlers: Box::new(ChannelMessageHandlers {
                channel_request_handlers: names.map(|(name, _)| name.clone()).collect(),
                channel_notification_handlers: notified.map(|(name, _)| name.clone()).collect(),
            }),
        }))
    }

    pub(super) fn update_settings(&self, body: Option<Asked>) -> Answered {
        let Some(Asked::WorkerUpdateSettingsRequest(settings)) = body else {
            return Err(other_body("WORKER_UPDATE_SETTINGS"));
        };
        let level = settings.log_level.map(|level| level.parse()).transpose().map_err(Refusal::Type)?;
        self.log.set(level, settings.log_tags.as_deref().map(Tags::of));
        Ok(None)
    }

    pub(super) fn create_router(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::WorkerCreateRouterRequest(request)) = body else {
            return Err(other_body("WORKER_CREATE_ROUTER"));
        };
        self.objects.check_free("Router", &request.router_id)?;
        let id = RouterId(self.objects.number());
        machine.execute(&Command::CreateRouter { router: id })?;
        self.objects.add(&request.router_id, Named::Router(id));
        let router = Router { name: request.router_id, transports: BTreeSet::new(), observers: BTreeSet::new() };
        self.objects.routers.insert(id, router);
        Ok(None)
    }

    pub(super) fn create_webrtc_server(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::WorkerCreateWebRtcServerRequest(request)) = body else {
            return Err(other_body("WORKER_CREATE_WEBRTCSERVER"));
        };
        let name = request.web_rtc_server_id;
        self.objects.check_free("WebRtcServer", &name)?;
        let (id, listening) = self.open_server(machine, &request.listen_infos.unwrap_or_default())?;
        self.objects.add(&name, Named::WebRtcServer(id));
        self.objects.servers.insert(id, WebRtcServer { name, listening, transports: BTreeSet::new() });
        Ok(None)
    }

    /// Opens sockets for WebRTC transports.
    pub(super) fn open_server(
        &mut self,
        machine: &mut dyn Machine,
        infos: &[transport::ListenInfo],
    ) -> Outcome<(WebRtcServerId, Vec<Listening>)> {
        if infos.is_empty() {
            return Err(Refusal::wrong("wrong listenInfos (empty array)"));
        }
        let server = WebRtcServerId(self.objects.number());
        let asked = infos.iter().map(|info| listen::listen_info(info, self.ports)).collect::<Outcome<Vec<_>>>()?;
        let Reply::Listening(locals) = machine.execute(&Command::OpenWebRtcServer { server, listen: asked })? else {
            return Err(Refusal::Error("the worker gave another answer".into()));
        };
        let listening = infos.iter().zip(locals).map(|(info, local)| listen::listening(info, local));
        Ok((server, listening.collect()))
    }

    pub(super) fn close_webrtc_server(&mut self, machine: &mut dyn Machine, body: Option<Asked>) -> Answered {
        let Some(Asked::WorkerCloseWebRtcServerRequest(request)) = body else {
            return Err(other_body("WORKER_WEBRTCSERVER_CLOSE"));
        };
        let id = self.objects.server_number(&request.web_rtc_server_id)?;
        let transports: Vec<_> = self.objects.server(id)?.transports.iter().copied().collect();
        for transport in transports {
            self.close_transport(machine, transport)?;
        }
        self.objects.remove(&request.web_rtc_server_id);
        self.objects.servers.remove(&id);
        machine.execute(&Command::CloseWebRtcServer { server: id })?;
        Ok(None)
    }

    pub(super) fn dump_webrtc_server(&mut self, name: &str) -> Answered {
        let id = self.objects.server_number(name)?;
        let server = self.objects.server(id)?.clone();
        let sockets = |protocol| {
            let of_protocol = server.listening.iter().filter(move |one| one.protocol == protocol);
            let ip_port =
                |one: &Listening| web_rtc_server::IpPort { ip: one.local.ip().to_string(), port: one.local.port() };
            of_protocol.map(ip_port).collect()
        };
        let transports = server.transports.iter().filter_map(|id| self.objects.transports.get(id));
        let (mut names, mut fragments) = (Vec::new(), Vec::new());
        for transport in transports {
            names.push(transport.name.clone());
            if let Kind::WebRtc(webrtc) = &transport.kind {
                let used = webrtc.last_fragment.iter().chain([&webrtc.ice.username_fragment]);
                fragments.extend(used.map(|fragment| web_rtc_server::IceUserNameFragment {
                    local_ice_username_fragment: fragment.clone(),
                    web_rtc_transport_id: transport.name.clone(),
                }));
            }
        }
        Ok(Some(Answer::WebRtcServerDumpResponse(Box::new(web_rtc_server::DumpResponse {
            id: name.to_owned(),
            udp_sockets: sockets(Protocol::Udp),
            tcp_servers: sockets(Protocol::Tcp),
            web_rtc_transport_ids: names,
            local_ice_username_fragments: fragments,
        }))))
    }
}

/// What this process has used (`getrusage`).
pub(super) fn resource_usage() -> Outcome<Answer> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|error| Refusal::Error(format!("getrusage: {error}")))?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Answer::WorkerResourceUsageResponse(Box::new(ResourceUsageResponse {
        ru_utime: millis(usage.user_time()),
        ru_stime: millis(usage.system_time()),
        ru_maxrss: count(usage.max_rss()),
        ru_ixrss: count(usage.shared_integral()),
        ru_idrss: count(usage.unshared_data_integral()),
        ru_isrss: count(usage.unshared_stack_integral()),
        ru_minflt: count(usage.minor_page_faults()),
        ru_majflt: count(usage.major_page_faults()),
        ru_nswap: count(usage.full_swaps()),
        ru_inblock: count(usage.block_reads()),
        ru_oublock: count(usage.block_writes()),
        ru_msgsnd: count(usage.ipc_sends()),
        ru_msgrcv: count(usage.ipc_receives()),
        ru_nsignals: count(usage.signals()),
        ru_nvcsw: count(usage.voluntary_context_switches()),
        ru_nivcsw: count(usage.involuntary_context_switches()),
    })))
}

fn millis(time: TimeVal) -> u64 {
    u64::try_from(time.tv_sec() * 1_000 + time.tv_usec() / 1_000).unwrap_or(0)
}
