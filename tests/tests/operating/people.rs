//! Limits count people: those who meet from behind one address all come in, one who only asks for sessions is stopped.

use corecast_bench::webrtc::{Joining, Session, join};
use corecast_tests::server::Server;
use reqwest::StatusCode;

use super::told::{options, run};

/// One person: publishes, and watches so many of those who came before.
async fn person(server: &Server, number: usize, watched: usize) -> Vec<Session> {
    let client = reqwest::Client::new();
    let base = format!("http://{}", server.address);
    let mut sessions =
        vec![join(&client, &format!("{base}/whip/r?peer=p{number}"), options(true)).await.expect("joins")];
    for other in number.saturating_sub(watched)..number {
        let watch = join(&client, &format!("{base}/whep/r/p{other}"), options(false)).await;
        sessions.push(watch.unwrap_or_else(|error| panic!("{number} watches {other}: {error}")));
    }
    sessions
}

#[test]
fn thirty_people_behind_one_address_all_join_and_an_abuser_is_stopped() {
    // Two a second of one address, ten at once: less than one person with three tiles needs, let alone thirty.
    let server = Server::start(&["--workers", "1", "--limits-sessions-per-second-per-ip", "2"]);
    run(async {
        let mut people = Vec::new();
        for number in 0..30 {
            people.push(person(&server, number, 3).await);
        }
        assert_eq!(people.iter().map(Vec::len).sum::<usize>(), 114);
        // The abuser never connects what it asks for.
        let (client, url) = (reqwest::Client::new(), format!("http://{}/whip/r", server.address));
        let mut answers = Vec::new();
        for _ in 0..40 {
            answers.push(Joining::post(&client, &url, options(true)).await);
        }
        let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()?.refused()).collect();
        assert!(refused.len() >= 20, "{} of {} are refused", refused.len(), answers.len());
        for one in &refused {
            assert_eq!(one.status, StatusCode::TOO_MANY_REQUESTS, "{}", one.body);
        }
        let waits: std::collections::BTreeSet<_> =
            refused.iter().map(|one| one.headers["retry-after"].to_str().expect("text").to_owned()).collect();
        assert!(waits.len() > 1, "they are not told to come again together: {waits:?}");
        assert!(waits.iter().all(|wait| ["1", "2", "3"].contains(&wait.as_str())), "{waits:?}");
    });
}

#[test]
fn one_address_has_only_so_many_sessions_at_a_time() {
    let server = Server::start(&["--workers", "1", "--limits-sessions-per-ip", "3"]);
    run(async {
        let mut sessions = person(&server, 0, 0).await;
        sessions.extend(person(&server, 1, 1).await);
        let url = format!("http://{}/whep/r/p0", server.address);
        let error = join(&reqwest::Client::new(), &url, options(false)).await.expect_err("is refused");
        let refused = error.refused().expect("an answer");
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
        assert!(refused.body.contains("limits.sessions_per_ip"), "{}", refused.body);
        sessions.pop().expect("three").leave().await.expect("leaves");
        let again = async || join(&reqwest::Client::new(), &url, options(false)).await;
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut viewer = again().await;
        // Its place is free when its end has been noticed, a moment after the answer.
        while viewer.is_err() && tokio::time::Instant::now() < until {
            viewer = again().await;
        }
        viewer.expect("there is a place again");
    });
}
