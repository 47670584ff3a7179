//! Identifiers, chosen by control and unique within a worker's life. The data plane looks them up when a command
//! arrives, never per packet.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// A router: the set of producers and consumers that may reach each other.
    RouterId,
    /// Sockets that WebRTC transports share (mediasoup's WebRtcServer).
    WebRtcServerId,
    /// A transport of a router.
    TransportId,
    /// A producer: one media source received on a transport.
    ProducerId,
    /// A consumer: one producer's media sent out on a transport.
    ConsumerId,
    /// An observer of a router's sound.
    RtpObserverId,
    /// A data producer: messages received on one stream of a transport.
    DataProducerId,
    /// A data consumer: one data producer's messages sent out on a transport.
    DataConsumerId,
}
