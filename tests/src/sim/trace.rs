//! What happened in a run: a fingerprint of all of it, the last lines of it, and how often each thing worth testing
//! did.

use std::collections::VecDeque;
use std::fmt;

use super::random::fold;

/// Lines that are kept for a failure.
const LINES: usize = 60;

#[derive(Clone, Copy, Debug)]
struct Line {
    at_ns: u64,
    what: &'static str,
    who: u64,
    a: u64,
    b: u64,
}

/// The course of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: VecDeque<Line>,
}

impl Trace {
    /// Notes that something happened to somebody, with two figures.
    pub fn note(&mut self, at_ns: u64, what: &'static str, who: u64, a: u64, b: u64) {
        let kind = what.bytes().fold(0, |hash, byte| fold(hash, u64::from(byte)));
        self.hash = [at_ns, kind, who, a, b].into_iter().fold(self.hash, fold);
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at_ns, what, who, a, b });
    }

    /// Fingerprint of everything so far: the same for the same seed.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { at_ns, what, who, a, b } in &self.lines {
            writeln!(f, "{:>12.3} ms  {what:<16} {who:>3}  {a:>8} {b:>8}", *at_ns as f64 / 1e6)?;
        }
        Ok(())
    }
}

macro_rules! coverage {
    ($(#[doc = $of:literal])+ $coverage:ident { $($(#[doc = $doc:literal])+ $name:ident,)* }) => {
        $(#[doc = $of])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $coverage {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl $coverage {
            /// Adds those of another run.
            pub const fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// Names and figures.
            #[must_use]
            pub fn figures(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

coverage! {
    /// How often things happened. A rule that was never put to the test proves nothing.
    Coverage {
        /// Datagrams that the machine took in.
        datagrams,
        /// Media packets that left.
        media,
        /// Media packets that were sealed with AES-GCM.
        gcm,
        /// Media packets that were sealed with AES-CM.
        cm,
        /// Packets that left with a transport-wide sequence number.
        stamped,
        /// Packets that left with extensions under other numbers than the router's.
        renumbered,
        /// Packets repeated byte for byte.
        repeated,
        /// Packets retransmitted on a stream of their own.
        retransmitted,
        /// Packets of padding, which probe the path.
        padding,
        /// Packets that a receiver missed, asked for and got.
        repaired,
        /// Packets that the server asked a sender for.
        asked_upstream,
        /// Key frames that the server asked for.
        key_frames_asked,
        /// RTCP datagrams that left.
        rtcp,
        /// Sends that were refused.
        refused,
        /// Remote addresses learnt.
        learnt,
        /// Times that forwarding stopped because the outbox was full.
        outbox_full,
        /// Packets of sound that waited for others when everything else had been forwarded.
        sound_waited,
        /// Producers that were withheld, since others were louder.
        withheld,
        /// Commands that came before it went on.
        between_parts,
        /// Consumers that sent something.
        consumers,
        /// Consumers that were interrupted and began again.
        resumed,
        /// Commands that were refused, as they had to be.
        refused_commands,
        /// Hostile datagrams.
        hostile,
        /// Timers served.
        timeouts,
        /// Streams whose sequence numbers wrapped while they were watched.
        wrapped,
    }
}

coverage! {
    /// The same of WebRTC participants.
    WebRtcCoverage {
        /// Handshakes that came to keys: DTLS 1.2.
        dtls_12,
        /// DTLS 1.3.
        dtls_13,
        /// Handshakes, of either version, that the server began.
        server_began,
        /// Packets of media that str0m has opened.
        opened,
        /// Opened packets that had been asked for again.
        opened_repaired,
        /// Retransmissions of str0m senders that the server took in.
        retransmitted_upstream,
        /// Times that a path was found not to carry a consumer.
        suspended,
        /// Key frames that str0m senders were asked for.
        key_frames_asked,
        /// Checks that were answered.
        answered,
        /// Checks that were not: with credentials from before a restart.
        outdated,
        /// ICE restarts that a check has completed.
        restarted,
        /// Paths that were selected after another one.
        reselected,
        /// Addresses that changed on the way.
        rebound,
        /// Participants who went to another address.
        moved,
        /// Checks that were copied and sent from elsewhere.
        copied_checks,
        /// Consents that were lost.
        expired,
        /// Lost consents that came back.
        returned,
        /// Participants who said goodbye, and were heard.
        goodbyes_heard,
        /// To whom the server said goodbye, and was heard.
        goodbyes_told,
        /// Media that waited for its keys, or for a path.
        waited,
        /// Consumers of WebRTC media on plain transports, and the other way round.
        mixed,
    }
}
