//! Replays what is in the fuzz corpora, so that what was once found, or once reached, stays reached by every test run.

use std::fs;
use std::path::Path;

use corecast_tests::fuzz;

fn replay(target: &str, body: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        body(&fs::read(&path).expect("a corpus file can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus of {target} is empty");
}

#[test]
fn receive() {
    replay("receive", fuzz::receive);
}

#[test]
fn rtp() {
    replay("rtp", fuzz::rtp);
}

#[test]
fn rtcp() {
    replay("rtcp", fuzz::rtcp);
}

#[test]
fn stun() {
    replay("stun", fuzz::stun);
}

#[test]
fn frames() {
    replay("frames", fuzz::frames);
}

#[test]
fn sctp() {
    replay("sctp", fuzz::sctp);
}
