//! Bearer tokens (RFC 6750) of the WHIP and WHEP doors.

use aws_lc_rs::{constant_time, digest};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::config::Config;
use crate::rooms::ApiError;
use crate::signaling::whip_whep::sessions::Door;

/// Whether one of them is the one given, in a time that tells nothing of where they differ.
fn is_among(tokens: &[String], given: &str) -> bool {
    let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    let given = hash(given);
    tokens.iter().fold(false, |found, token| {
        found | constant_time::verify_slices_are_equal(hash(token).as_ref(), given.as_ref()).is_ok()
    })
}

/// The token of a request; an error for an `Authorization` of another kind.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn refused(status: StatusCode, challenge: &'static str, sentence: &str) -> ApiError {
    let mut error = ApiError::new(status, sentence);
    error.header = Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
    error
}

/// Whether a client may pass this door. `token` is one that came in another way than by the header.
pub(crate) fn check(config: &Config, door: Door, headers: &HeaderMap, token: Option<&str>) -> Result<(), ApiError> {
    let (ours, others) = match door {
        Door::Whip => (&config.whip.tokens, &config.whep.tokens),
        Door::Whep => (&config.whep.tokens, &config.whip.tokens),
    };
    if ours.is_empty() {
        return Ok(());
    }
    let Some(token) = bearer(headers).or(token) else {
        let sentence = "Authorization: give a bearer token";
        return Err(refused(StatusCode::UNAUTHORIZED, "Bearer realm=\"corecast\"", sentence));
    };
    match (is_among(ours, token), is_among(others, token)) {
        (true, _) => Ok(()),
        (false, true) => {
            let challenge = "Bearer realm=\"corecast\", error=\"insufficient_scope\"";
            Err(refused(StatusCode::FORBIDDEN, challenge, "Authorization: this token is for the other door"))
        }
        (false, false) => {
            let challenge = "Bearer realm=\"corecast\", error=\"invalid_token\"";
            Err(refused(StatusCode::UNAUTHORIZED, challenge, "Authorization: this token is not known"))
        }
    }
}

/// Whether somebody may know who is in a room: who may watch may, and who may publish.
pub(crate) fn check_listener(config: &Config, headers: &HeaderMap, token: Option<&str>) -> Result<(), ApiError> {
    match check(config, Door::Whep, headers, token) {
        Err(error) if error.status != StatusCode::FORBIDDEN => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(authorization: &str) -> HeaderMap {
        [(header::AUTHORIZATION, HeaderValue::from_str(authorization).expect("text"))].into_iter().collect()
    }

    #[test]
    fn tokens_open_their_own_door() {
        let mut config = Config::default();
        assert_eq!(check(&config, Door::Whip, &HeaderMap::new(), None), Ok(()));
        config.whip.tokens = vec!["abc".into(), "def".into()];
        config.whep.tokens = vec!["ghi".into()];
        let status = |door, authorization: &str| match check(&config, door, &given(authorization), None) {
            Ok(()) => 200,
            Err(error) => {
                assert!(error.header.is_some_and(|(name, _)| name == header::WWW_AUTHENTICATE));
                error.status.as_u16()
            }
        };
        for (door, authorization, expected) in [
            (Door::Whip, "Bearer abc", 200),
            (Door::Whip, "bearer  def ", 200),
            (Door::Whip, "Bearer ghi", 403),
            (Door::Whip, "Bearer ab", 401),
            (Door::Whip, "Bearer abcd", 401),
            (Door::Whip, "Bearer", 401),
            (Door::Whip, "Basic abc", 401),
            (Door::Whep, "Bearer ghi", 200),
            (Door::Whep, "Bearer abc", 403),
        ] {
            assert_eq!(status(door, authorization), expected, "{door:?} {authorization}");
        }
        assert_eq!(check(&config, Door::Whep, &HeaderMap::new(), Some("ghi")), Ok(()));
        assert!(check_listener(&config, &HeaderMap::new(), None).is_err());
        assert!(check_listener(&config, &given("Bearer abc"), None).is_ok(), "publishers may listen");
    }
}
