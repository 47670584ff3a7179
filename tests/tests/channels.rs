//! Data channels of the built binary, over real sockets, with the load generator's endpoint: what the statistics say.

use std::time::{Duration, Instant};

use corecast_bench::calls::joins::Joiner;
use corecast_bench::site::Site;
use corecast_bench::sockets::RecvBatch;
use corecast_bench::webrtc::sdp::Kind;
use corecast_bench::webrtc::talking::Talking;
use corecast_tests::server::{Server, wait_for};
use corecast_wire::SrtpCryptoSuite;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const STREAM: u16 = 0;

/// Two endpoints whose sockets are read by hand.
struct Pair {
    ends: [Talking; 2],
    batch: RecvBatch,
    received: Vec<Vec<u8>>,
}

impl Pair {
    /// A publisher "talker" in room "r", and one who watches it.
    fn join(server: &Server) -> Self {
        let site = Site::at(&format!("http://{}", server.address)).expect("an address");
        let joiner = Joiner::new(&site, "r", None, SrtpCryptoSuite::AeadAes128Gcm, Kind::Audio).expect("a joiner");
        let ends = [true, false].map(|publishes| joiner.talk(publishes, 0).expect("joins"));
        Self { ends, batch: RecvBatch::new(4, 65_536), received: Vec::new() }
    }

    fn turn(&mut self) {
        for talking in &mut self.ends {
            let take = |_, message: &[u8]| {
                self.received.push(message.to_vec());
                Ok(())
            };
            talking.turn(0, &mut self.batch, take).expect("goes on");
        }
    }

    /// Reads and answers until that is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            self.turn();
            assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        }
    }
}

#[test]
fn data_producers_and_consumers_have_names_in_the_statistics() {
    let server = Server::start(&["--workers", "1"]);
    let mut pair = Pair::join(&server);
    pair.until("connected", |pair| pair.ends.iter().all(|end| end.channels().is_connected()));
    for end in &mut pair.ends {
        end.channels_mut().open(STREAM, "chat", true).expect("opens");
    }
    pair.until("open", |pair| pair.ends.iter().all(|end| end.channels().is_open(STREAM)));
    pair.ends[0].channels_mut().send(STREAM, b"hello").expect("sends");
    pair.until("received", |pair| pair.received == [b"hello"]);
    // The filter is the default, "info", at which the library would write out every packet.
    assert_eq!(server.lines(&["SCTP_PACKET"]), [], "what goes over channels is not logged");
    let objects = |name: &str, stats: &Value| stats[name].as_array().expect("a list").clone();
    let stats = wait_for("statistics", || {
        let stats = server.json("GET", "/stats", "").filter(|stats| objects("dataConsumers", stats).len() == 2)?;
        Some(stats)
    });
    let publishers: Vec<_> = objects("dataProducers", &stats);
    let viewer = publishers.iter().find(|of| of["id"] != json!("talker/chat")).expect("the viewer's").clone();
    let name = viewer["id"].as_str().and_then(|id| id.strip_suffix("/chat")).expect("a name").to_owned();
    let publisher = publishers.iter().find(|of| of["id"] == json!("talker/chat")).expect("the publisher's");
    assert_eq!((&publisher["roomId"], &publisher["messagesReceived"]), (&json!("r"), &json!(1)), "{publisher}");
    let consumers = objects("dataConsumers", &stats);
    let down = json!(format!("talker/chat to {name}"));
    let down = consumers.iter().find(|of| of["id"] == down).expect("what the viewer is sent");
    assert_eq!((&down["dataProducerId"], &down["messagesSent"]), (&json!("talker/chat"), &json!(1)), "{down}");
    let up = json!(format!("{name}/chat to talker"));
    let up = consumers.iter().find(|of| of["id"] == up).expect("what the publisher is sent");
    assert_eq!((&up["dataProducerId"], &up["bytesSent"]), (&viewer["id"], &json!(0)), "{up}");
}
