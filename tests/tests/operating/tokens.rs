//! JSON Web Tokens, made by other code than the server's: who has one comes in, and keys are read again by SIGHUP.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use corecast_bench::webrtc::{Options, join};
use corecast_tests::server::{Server, wait_for};
use serde_json::{Value, json};

use super::reload::{Folder, renew, start};
use super::told::{options, run};

const FIRST: &str = "the first secret, of thirty-two and more bytes";
const SECOND: &str = "the second secret, of thirty-two and more bytes";

/// A token that holds for a minute from `begins_s` seconds from now on (RFC 7515 section 7.1).
fn token(secret: &str, room: &str, grants: &[&str], begins_s: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (from, until) = (now.saturating_add_signed(begins_s), now.saturating_add_signed(begins_s + 60));
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "HS256", "typ": "JWT", "kid": "k" }));
    let signed = format!("{header}.{}", part(json!({ "nbf": from, "exp": until, "room": room, "grants": grants })));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn status(server: &Server, token: &str) -> u16 {
    let header = format!("Authorization: Bearer {token}\r\n");
    wait_for("an answer", || server.ask_with("GET", "/rooms", &header, "")).0
}

#[test]
fn who_has_a_token_for_a_room_comes_in_there_and_keys_are_read_again() {
    let folder = Folder::new();
    let (settings, key) = (folder.path("corecast.toml"), folder.path("key"));
    fs::write(&key, format!("{FIRST}\n")).expect("is written");
    let text = format!("[[jwt.keys]]\nid = \"k\"\nalgorithm = \"HS256\"\nfile = {key:?}\n");
    fs::write(&settings, &text).expect("is written");
    let server = start(&settings);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    let admin = |secret: &str| token(secret, "*", &["admin"], -30);
    assert_eq!((status(&server, &admin(FIRST)), status(&server, &admin(SECOND))), (200, 401));
    run(async {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{}/{path}", server.address);
        let with = |token: String, send: bool| Options { token: Some(token), ..options(send) };
        let publish = |room: &str| with(token(FIRST, room, &["publish"], -30), true);
        let ann = join(&client, &url("whip/r?peer=ann"), publish("r")).await.expect("joins");
        let other = join(&client, &url("whip/s"), publish("r")).await.expect_err("is for another room");
        assert_eq!(other.refused().expect("an answer").status.as_u16(), 403, "{other}");
        let watch = |begins_s| with(token(FIRST, "r*", &["subscribe"], begins_s), false);
        let viewer = join(&client, &url("whep/r/ann"), watch(0)).await.expect("joins");
        for (begins_s, part) in [(-120, "expired"), (120, "not hold yet")] {
            let refused = join(&client, &url("whep/r/ann"), watch(begins_s)).await.expect_err(part);
            let refused = refused.refused().expect("an answer");
            assert!(refused.status == 401 && refused.body.contains(part), "{}", refused.body);
        }
        let publisher = join(&client, &url("whep/r/ann"), with(token(FIRST, "r", &["publish"], 0), false)).await;
        assert_eq!(publisher.expect_err("is for something else").refused().expect("an answer").status.as_u16(), 403);
        fs::write(&key, SECOND).expect("is written");
        renew(&server);
        assert_eq!((status(&server, &admin(FIRST)), status(&server, &admin(SECOND))), (401, 200));
        // One that cannot be used leaves the one before.
        fs::write(&key, "short").expect("is written");
        server.signal_supervisor("HUP");
        wait_for("the error", || server.lines(&["ERROR", "the settings stay as they were", "32 bytes"]).pop());
        assert_eq!(status(&server, &admin(SECOND)), 200);
        let rooms = format!("Authorization: Bearer {}\r\n", admin(SECOND));
        let (_, rooms) = server.ask_with("GET", "/rooms", &rooms, "").expect("answers");
        let rooms: Value = serde_json::from_str(&rooms).expect("JSON");
        assert_eq!((&rooms["rooms"][0]["viewers"], &rooms["rooms"][0]["peers"][0]["id"]), (&json!(1), &json!("ann")));
        drop((ann, viewer));
    });
}

/// A token whose header and signature are given.
fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A text that holds this in the form of PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn forged_tokens_let_nobody_in() {
    let folder = Folder::new();
    let (settings, file) = (folder.path("corecast.toml"), folder.path("key"));
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a public key");
    let public = pem("PUBLIC KEY", der.as_ref());
    fs::write(&file, &public).expect("is written");
    let text = format!("[[jwt.keys]]\nid = \"k\"\nalgorithm = \"ES256\"\nfile = {file:?}\n");
    fs::write(&settings, text).expect("is written");
    let server = start(&settings);
    wait_for("ready", || server.get("/health").filter(|(status, _)| *status == 200));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = |until: u64| json!({ "exp": until, "room": "*", "grants": ["admin"] });
    let (good, header) = (claims(now + 60), |alg: &str, kid: &str| json!({ "alg": alg, "typ": "JWT", "kid": kid }));
    let by_key = |text: &[u8]| key.sign(&SystemRandom::new(), text).expect("signs").as_ref().to_vec();
    let by_secret =
        |secret: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text).as_ref().to_vec();
    let right = signed(&header("ES256", "k"), &good, by_key);
    assert_eq!(status(&server, &right), 200);
    let (head, signature) = right.rsplit_once('.').expect("three parts");
    let more = URL_SAFE_NO_PAD.encode(json!({ "exp": now + 60_000, "room": "*", "grants": ["admin"] }).to_string());
    let forged = [
        ("none", signed(&header("none", "k"), &good, |_| Vec::new())),
        ("None", signed(&header("None", "k"), &good, |_| Vec::new())),
        ("no signature", format!("{head}.")),
        ("another's signature", format!("{head}.{}", signature.chars().rev().collect::<String>())),
        ("zeros for a signature (CVE-2022-21449)", signed(&header("ES256", "k"), &good, |_| vec![0; 64])),
        ("other claims", format!("{}.{more}.{signature}", head.split_once('.').expect("two parts").0)),
        ("the public key as a secret", signed(&header("HS256", "k"), &good, |text| by_secret(public.as_bytes(), text))),
        ("its DER as a secret", signed(&header("HS256", "k"), &good, |text| by_secret(der.as_ref(), text))),
        ("its secret as nothing", signed(&header("HS256", "k"), &good, |text| by_secret(b"", text))),
        ("another algorithm's name", signed(&header("ES384", "k"), &good, by_key)),
        ("a key that is not there", signed(&header("ES256", "../../../dev/null"), &good, by_key)),
        ("expired", signed(&header("ES256", "k"), &claims(now - 60), by_key)),
        ("no end", signed(&header("ES256", "k"), &json!({ "room": "*", "grants": ["admin"] }), by_key)),
        ("garbage", "a.b.c".into()),
    ];
    for (what, token) in &forged {
        assert_eq!(status(&server, token), 401, "{what}: {token}");
    }
    assert_eq!(status(&server, &right), 200, "the right one holds as before");
}
