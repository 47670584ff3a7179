//! Data channels of browsers: a publisher's messages reach who watches it, and theirs reach the publisher.

use corecast_tests::browser::{Browser, Driver, Page};
use corecast_tests::server::Server;
use serde_json::{Value, json};

use crate::Stage;

const LABEL: &str = "chat";

/// A page with one session of its own, which has a channel "chat".
struct Talker<'a> {
    page: Page<'a>,
    name: &'static str,
}

impl<'a> Talker<'a> {
    fn new(driver: &'a Driver, server: &Server, browser: Browser, name: &'static str) -> Self {
        let page = driver.open(name, browser, &format!("http://{}/status", server.address), &json!({}));
        Self { page, name }
    }

    fn call(&self, function: &str, with: &[Value]) -> Value {
        let args: Vec<_> = std::iter::once(json!(self.name)).chain(with.iter().cloned()).collect();
        let answer = self.page.call(function, &Value::Array(args));
        answer.unwrap_or_else(|error| panic!("{}: {function}: {error}", self.name))
    }

    /// Publishes to a room, or watches it. The m= lines of offer and answer.
    fn start(&self, room: &str, publishes: bool, config: &Value) -> Value {
        let url = format!("/{}/{room}", if publishes { "whip" } else { "whep" });
        self.call("startSession", &[json!(url), json!(publishes), json!(LABEL), config.clone()])
    }

    fn say(&self, messages: &[Value]) {
        messages.iter().for_each(|message| drop(self.call("say", &[json!(LABEL), message.clone()])));
    }

    fn hears(&self, expected: &[Value]) {
        let heard = self.call("heard", &[json!(LABEL), json!(expected.len())]);
        assert_eq!(heard, json!(expected), "{}", self.name);
    }
}

/// Text, empty text, text that is no ASCII, binary data, empty binary data, and the longest message of both.
fn messages() -> ([Value; 6], [Value; 6]) {
    let long = "a".repeat(262_144);
    let said = [json!("hello"), json!(""), json!("grüße 👋"), json!(3), json!(0), json!(262_144)];
    let heard = [
        json!("hello"),
        json!(""),
        json!("grüße 👋"),
        json!({"bytes": 3, "sum": 21}),
        json!({"bytes": 0, "sum": 0}),
        json!({"bytes": 262_144, "sum": 7 * long.len()}),
    ];
    (said, heard)
}

fn both_ways(stage: &Stage, publisher: Browser, viewer: Browser) {
    let driver = stage.with(&[publisher, viewer]);
    let server = stage.bed.server(&[]);
    let (one, two) = (Talker::new(driver, &server, publisher, "one"), Talker::new(driver, &server, viewer, "two"));
    one.start("talk", true, &json!({}));
    let agreed = two.start("talk", false, &json!({}));
    assert_eq!(agreed["max"], json!(262_144), "{agreed}");
    let (said, heard) = messages();
    one.say(&said);
    two.hears(&heard);
    two.say(&said);
    one.hears(&heard);
    // The viewer closes its channel and opens another one: its stream is used again.
    let first = two.call("channelOpens", &[json!(LABEL)]);
    two.call("closeChannel", &[json!(LABEL)]);
    two.call("openChannel", &[json!(LABEL), json!(LABEL)]);
    assert_eq!(two.call("channelOpens", &[json!(LABEL)]), first, "the id is used again");
    one.say(&[json!("again")]);
    two.hears(&[json!("again")]);
    two.say(&[json!("yes")]);
    one.hears(&[&heard[..], &[json!("yes")]].concat());
    // The publisher does the same; the viewer's channel stays.
    one.call("closeChannel", &[json!(LABEL)]);
    one.call("openChannel", &[json!(LABEL), json!(LABEL), json!({"ordered": false, "maxRetransmits": 3})]);
    one.call("channelOpens", &[json!(LABEL)]);
    one.say(&[json!("here again")]);
    two.hears(&[json!("again"), json!("here again")]);
    two.say(&[json!("good")]);
    one.hears(&[json!("good")]);
    // It leaves and comes again.
    one.call("endSession", &[]);
    one.start("talk", true, &json!({}));
    one.say(&[json!("back")]);
    two.hears(&[json!("again"), json!("here again"), json!("back")]);
    two.say(&[json!("welcome")]);
    one.hears(&[json!("welcome")]);
    for talker in [&two, &one] {
        talker.call("endSession", &[]);
    }
}

pub(crate) fn chromium_to_firefox(stage: &Stage) {
    both_ways(stage, Browser::Chromium, Browser::Firefox);
}

pub(crate) fn firefox_to_chromium(stage: &Stage) {
    both_ways(stage, Browser::Firefox, Browser::Chromium);
}

/// With max-bundle and alwaysNegotiateDataChannels Chromium offers the transport with the data section alone, first.
pub(crate) fn data_first(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium]);
    let server = stage.bed.server(&[]);
    let config = json!({"bundlePolicy": "max-bundle", "alwaysNegotiateDataChannels": true});
    let one = Talker::new(driver, &server, Browser::Chromium, "one");
    let agreed = one.start("first", true, &config);
    assert!(agreed["offer"][0].as_str().is_some_and(|line| line.starts_with("application")), "{agreed}");
    let two = Talker::new(driver, &server, Browser::Chromium, "two");
    two.start("first", false, &config);
    one.say(&[json!("hello")]);
    two.hears(&[json!("hello")]);
}
