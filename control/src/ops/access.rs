//! Who may do what: bearer tokens (RFC 6750).

use aws_lc_rs::{constant_time, digest};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;

use crate::config::Config;
use crate::http::{Answer, AppState, HttpError, is_preflight};
use crate::rooms::Credential;

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// By WHIP.
    Publish,
    /// By WHEP.
    Watch,
    /// Everything else: broadcasters, rooms as a whole, counters.
    Operate,
}

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

fn refused(status: StatusCode, challenge: &'static str, sentence: &str) -> HttpError {
    HttpError::new(status, sentence).with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// Whether a client may do this. `token` is one that came in another way than by the header.
pub(crate) fn check(config: &Config, scope: Scope, headers: &HeaderMap, token: Option<&str>) -> Result<(), HttpError> {
    let (ours, others) = match scope {
        Scope::Publish => (config.whip.tokens.as_slice(), [&config.whep.tokens, &config.api.tokens]),
        Scope::Watch => (config.whep.tokens.as_slice(), [&config.whip.tokens, &config.api.tokens]),
        Scope::Operate => (config.api_tokens(), [&config.whip.tokens, &config.whep.tokens]),
    };
    if ours.is_empty() {
        return Ok(());
    }
    let Some(token) = bearer(headers).or(token) else {
        let sentence = "Authorization: give a bearer token";
        return Err(refused(StatusCode::UNAUTHORIZED, "Bearer realm=\"corecast\"", sentence));
    };
    let is_for_others = others.into_iter().fold(false, |found, tokens| found | is_among(tokens, token));
    match (is_among(ours, token), is_for_others) {
        (true, _) => Ok(()),
        (false, true) => {
            let challenge = "Bearer realm=\"corecast\", error=\"insufficient_scope\"";
            Err(refused(StatusCode::FORBIDDEN, challenge, "Authorization: this token is for something else"))
        }
        (false, false) => {
            let challenge = "Bearer realm=\"corecast\", error=\"invalid_token\"";
            let unknown = refused(StatusCode::UNAUTHORIZED, challenge, "Authorization: this token is not known");
            Err(unknown.because("unknown_token"))
        }
    }
}

/// Lets a request to the rest of the API pass if its token is right, or if none is asked for. A client that tries one
/// token after the other is slowed down. A preflight comes without a token.
pub(crate) async fn operate(State(app): AppState, request: Request, next: Next) -> Answer {
    if request.method() == Method::OPTIONS && is_preflight(request.headers()) {
        return Ok(next.run(request).await);
    }
    check(&app.config(), Scope::Operate, request.headers(), None).or_else(|refused| {
        app.admit_guess(request.extensions(), "requests without a right token")?;
        Err(refused)
    })?;
    Ok(next.run(request).await)
}

/// What a client has shown, whether or not it was asked for. `token` is one that came in another way than by the
/// header.
pub(crate) fn credential(headers: &HeaderMap, token: Option<&str>) -> Option<Credential> {
    let hash = digest::digest(&digest::SHA256, bearer(headers).or(token)?.as_bytes());
    hash.as_ref().try_into().ok().map(Credential)
}

/// Whether a client may know who is in a room: it may if it may watch, publish, or use the rest of the API.
pub(crate) fn check_listener(config: &Config, headers: &HeaderMap, token: Option<&str>) -> Result<(), HttpError> {
    match check(config, Scope::Watch, headers, token) {
        Err(error) if error.status() != StatusCode::FORBIDDEN => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn given(authorization: &str) -> HeaderMap {
        [(header::AUTHORIZATION, HeaderValue::from_str(authorization).expect("text"))].into_iter().collect()
    }

    #[test]
    fn tokens_are_for_what_they_are_given_for() {
        let mut config = Config::default();
        assert_eq!(check(&config, Scope::Publish, &HeaderMap::new(), None), Ok(()));
        config.whip.tokens = vec!["abc".into(), "def".into()];
        config.whep.tokens = vec!["ghi".into()];
        let status = |scope, authorization: &str| match check(&config, scope, &given(authorization), None) {
            Ok(()) => 200,
            Err(error) => {
                let response = error.into_response();
                assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
                response.status().as_u16()
            }
        };
        for (scope, authorization, expected) in [
            (Scope::Publish, "Bearer abc", 200),
            (Scope::Publish, "bearer  def ", 200),
            (Scope::Publish, "Bearer ghi", 403),
            (Scope::Publish, "Bearer ab", 401),
            (Scope::Publish, "Bearer abcd", 401),
            (Scope::Publish, "Bearer", 401),
            (Scope::Publish, "Basic abc", 401),
            (Scope::Watch, "Bearer ghi", 200),
            (Scope::Watch, "Bearer abc", 403),
        ] {
            assert_eq!(status(scope, authorization), expected, "{scope:?} {authorization}");
        }
        assert_eq!(check(&config, Scope::Watch, &HeaderMap::new(), Some("ghi")), Ok(()));
        assert!(check_listener(&config, &HeaderMap::new(), None).is_err());
        assert!(check_listener(&config, &given("Bearer abc"), None).is_ok(), "publishers may listen");
    }
}
