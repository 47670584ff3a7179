//! The page's chat, raised hands and reactions: Chromium and Firefox in one room, and one who only watches.

use corecast_tests::browser::Browser;
use serde_json::{Value, json};

use crate::Stage;
use crate::call::{Visitor, Wishes, join, until};
use crate::together::pictures;

/// Text that would be markup if it were taken for any.
const MARKUP: &str = "<img src=x onerror=alert(1)><b>bold</b> & \"quoted\"";

impl Visitor<'_> {
    fn does(&self, function: &str, args: &Value) -> Value {
        self.page.call(function, args).unwrap_or_else(|error| panic!("{}: {function}: {error}", self.page.name()))
    }

    /// Waits until what it shows of the talk has this at this place.
    pub(crate) fn shows(&self, place: &str, wanted: &Value) {
        until(&format!("{} shows {place} {wanted}", self.page.name()), || {
            let shown = self.page.call("talk", &json!([]))?;
            if shown[place] == *wanted { Ok(()) } else { Err(shown.to_string()) }
        });
    }

    /// The same of what comes last there.
    pub(crate) fn shows_last(&self, place: &str, wanted: &Value) {
        until(&format!("{} shows {place} {wanted}", self.page.name()), || {
            let shown = self.page.call("talk", &json!([]))?;
            let last = shown[place].as_array().and_then(|all| all.last());
            if last == Some(wanted) { Ok(()) } else { Err(shown.to_string()) }
        });
    }

    /// Says something once that reaches somebody.
    pub(crate) fn chats(&self, text: &str) {
        until(&format!("{} can be heard", self.page.name()), || {
            if self.does("chat", &json!([text])) == json!(true) { Ok(()) } else { Err("nobody is there".to_owned()) }
        });
    }
}

pub(crate) fn between_browsers(stage: &Stage) {
    let driver = stage.with(&[Browser::Chromium, Browser::Firefox]);
    let server = stage.bed.server(&[]);
    let wishes = Wishes::default();
    let ann = join(driver, &server, Browser::Chromium, ("talk", "Ann"), &wishes);
    let ben = join(driver, &server, Browser::Firefox, ("talk", "Ben"), &wishes);
    let (of_ann, of_ben) = (ann.publishes(&[]), ben.publishes(&[]));
    ann.sees(&of_ben, 1);
    ben.sees(&of_ann, 1);
    ann.chats("hello Ben");
    ben.shows("lines", &json!([["Ann", "hello Ben"]]));
    ben.shows("unread", &json!("1"));
    ben.chats(MARKUP);
    let lines = json!([["You", "hello Ben"], ["Ben", MARKUP]]);
    ann.shows("lines", &lines);
    ann.shows("foreign", &json!(0));
    ben.does("press", &json!(["hand-button"]));
    ann.shows("hands", &json!([of_ben]));
    ben.shows("hands", &json!(["self"]));

    // Who comes later is told of the hand and of nothing else, and is heard by all who publish.
    let watcher = Wishes { watches: true, ..Wishes::default() };
    let cat = join(driver, &server, Browser::Chromium, ("talk", "Cat <3"), &watcher);
    cat.sees(&of_ann, 1);
    cat.shows("hands", &json!([of_ben]));
    cat.shows("lines", &json!([]));
    cat.sees(&of_ben, 1);
    cat.chats("I only watch");
    for visitor in [&ann, &ben] {
        until("the watcher is heard", || {
            let shown = visitor.page.call("talk", &json!([]))?;
            let last = shown["lines"].as_array().and_then(|lines| lines.last().cloned()).unwrap_or_default();
            let wanted = json!(["Cat <3 (watching)", "I only watch"]);
            if last == wanted { Ok(()) } else { Err(shown.to_string()) }
        });
    }
    ann.does("press", &json!(["react-button"]));
    pictures(&ann.page, "talk-reactions");
    ann.does("react", &json!(["🎉"]));
    ben.shows("reactions", &json!(["🎉"]));
    for (visitor, name) in [(&ann, "talk-chromium"), (&ben, "talk-firefox"), (&cat, "talk-watching")] {
        visitor.does("press", &json!(["chat-button"]));
        visitor.shows("unread", &json!(""));
        pictures(&visitor.page, name);
    }
    ben.does("press", &json!(["hand-button"]));
    ann.shows("hands", &json!([]));
    cat.shows("hands", &json!([]));

    // A page that was loaded again is a newcomer: it is heard, and its hand is down.
    ann.does("press", &json!(["hand-button"]));
    ben.shows("hands", &json!([of_ann]));
    ann.page.reload();
    let again = ann.publishes(&[&of_ann]);
    ben.sees(&again, 1);
    ben.shows("hands", &json!([]));
    ann.chats("back");
    until("heard after a reload", || {
        let shown = ben.page.call("talk", &json!([]))?;
        let last = shown["lines"].as_array().and_then(|lines| lines.last().cloned()).unwrap_or_default();
        if last == json!(["Ann", "back"]) { Ok(()) } else { Err(shown.to_string()) }
    });
}
