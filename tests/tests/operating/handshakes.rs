//! Sessions that come to nothing: `/metrics` says at which step, and what was wrong with the handshake.

use std::fs;
use std::time::Duration;

use corecast_bench::webrtc::sdp::Setup;
use corecast_bench::webrtc::{Identity, Joining, Options, join};
use corecast_tests::server::{Server, wait_for};
use dtls::cipher_suite::CipherSuiteId;

use super::reload::Folder;
use super::told::{options, run};

/// Makes an honest client's options wrong.
type Change<'a> = &'a dyn Fn(&mut Options);

/// Whether a scrape has this line.
fn counts(server: &Server, line: &str) -> Option<()> {
    server.get("/metrics")?.1.lines().any(|one| one == line).then_some(())
}

#[test]
fn what_fails_is_counted_by_its_cause() {
    let (folder, settings) = (Folder::new(), "[rtc]\nconnect_timeout = \"12s\"\n");
    let path = folder.path("corecast.toml");
    fs::write(&path, settings).expect("is written");
    let server = Server::start(&["--workers", "1", "--config", path.to_str().expect("text")]);
    let url = format!("http://{}/whip/r", server.address);
    let client = reqwest::Client::new();
    let another = Identity::new().expect("made").fingerprint();
    let wrong: [(&str, Change<'_>); 3] = [
        ("fingerprint", &|options| options.fingerprint = Some(another.clone())),
        ("negotiation", &|options| {
            options.terms.cipher_suites = vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_256_Cbc_Sha];
        }),
        ("srtp_profile", &|options| options.terms.profiles = Vec::new()),
    ];
    run(async {
        for (cause, change) in wrong {
            let mut options = options(true);
            options.terms.within = Duration::from_millis(500);
            change(&mut options);
            join(&client, &url, options).await.expect_err(cause);
        }
        // The server begins, and nobody answers; and the server waits for one who never begins.
        let mut held = Vec::new();
        for setup in [Setup::Passive, Setup::ActPass] {
            let mut joining = Joining::post(&client, &url, Options { setup, ..options(true) }).await.expect("is made");
            joining.check().await.expect("is answered");
            held.push(joining);
        }
        held.push(Joining::post(&client, &url, options(true)).await.expect("is made"));
        let honest = join(&client, &url, options(true)).await.expect("joins");
        for cause in ["fingerprint", "srtp_profile", "negotiation", "timeout"] {
            let line = format!("corecast_dtls_failures_total{{worker=\"0\",cause=\"{cause}\"}} 1.0");
            wait_for(&line, || counts(&server, &line));
        }
        for (cause, number) in [("handshake", 4), ("not_connected", 1), ("no_checks", 1)] {
            let line = format!("corecast_sessions_ended_total{{kind=\"publisher\",cause=\"{cause}\"}} {number}.0");
            wait_for(&line, || counts(&server, &line));
        }
        drop((honest, held));
    });
}
