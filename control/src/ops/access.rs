//! Who may do what: the one place where the token of a request (RFC 6750) is compared with what the request wants. A
//! token is one of a list in the settings, which holds in every room, or a JSON Web Token, which says itself what it
//! allows, and in which rooms.

use aws_lc_rs::{constant_time, digest};
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::config::Config;
use crate::http::{Answer, App, AppState, HttpError, is_preflight};
use crate::jwt::{self, Time, Wrong};
use crate::rooms::Credential;
use crate::settings::Grant;

/// What a request wants to do, and what it shows for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    grant: Grant,
    /// In which room; none for what is about the whole server.
    room: Option<&'a str>,
    headers: &'a HeaderMap,
    /// A token that came in another way than by the header.
    token: Option<&'a str>,
    /// What the request is about was let in before.
    is_in: bool,
}

impl<'a> Wish<'a> {
    /// To do this in a room, or without one in all.
    pub(crate) fn new(grant: Grant, room: Option<&'a str>, headers: &'a HeaderMap) -> Self {
        Self { grant, room, headers, token: None, is_in: false }
    }

    /// A token that came in another way than by the header, which comes first.
    pub(crate) fn with_token(self, token: Option<&'a str>) -> Self {
        Self { token, ..self }
    }

    /// To go on with a session: the token with which it was let in may be over by now.
    pub(crate) fn to_go_on(self) -> Self {
        Self { is_in: true, ..self }
    }

    /// Whether a client may do this.
    pub(crate) fn check(self, config: &Config) -> Result<(), HttpError> {
        if config.is_open(self.grant) {
            return Ok(());
        }
        let Some(token) = bearer(self.headers).or(self.token) else {
            let sentence = "Authorization: give a bearer token";
            return Err(refused(StatusCode::UNAUTHORIZED, "Bearer realm=\"corecast\"", sentence));
        };
        let is_among = |grant| config.tokens_for(grant).iter().fold(false, |found, list| found | is_among(list, token));
        let is_for_others = OTHERS.iter().fold(false, |found, grant| found | is_among(*grant));
        match (is_among(self.grant), is_for_others) {
            (true, _) => Ok(()),
            (false, true) => Err(insufficient("Authorization: this token is for something else")),
            (false, false) => self.check_claims(config, token),
        }
    }

    /// The same of a token that says itself what it allows.
    fn check_claims(self, config: &Config, token: &str) -> Result<(), HttpError> {
        let time = if self.is_in { Time::Whenever } else { Time::Within(config.jwt.leeway.0.as_secs()) };
        let verified = if config.jwt.keys.is_empty() {
            Err(Wrong::Unknown("this token is not known".into()))
        } else {
            jwt::verify(&config.jwt.keys, token, time)
        };
        let claims = verified.map_err(|wrong| {
            let challenge = "Bearer realm=\"corecast\", error=\"invalid_token\"";
            let error = refused(StatusCode::UNAUTHORIZED, challenge, &format!("Authorization: {wrong}"));
            error.because(match wrong {
                Wrong::Unknown(_) => "unknown_token",
                Wrong::Expired => "expired_token",
                Wrong::Early => "early_token",
            })
        })?;
        if !claims.allows(self.grant) {
            return Err(insufficient(&format!("Authorization: this token does not grant \"{}\"", self.grant)));
        }
        match self.room {
            room if claims.is_for(room) => Ok(()),
            Some(room) => Err(insufficient(&format!("Authorization: this token is not for room {room:?}"))),
            None => Err(insufficient("Authorization: this token is not for all rooms")),
        }
        .map_err(|error| error.because("other_room"))
    }

    /// The same. A client that tries one token after the other is slowed down.
    pub(crate) fn admit(self, app: &App, extensions: &axum::http::Extensions) -> Result<(), HttpError> {
        self.check(&app.config()).or_else(|refused| {
            app.admit_guess(extensions, "requests without a right token")?;
            Err(refused)
        })
    }
}

/// What lists of tokens are for.
const OTHERS: [Grant; 3] = [Grant::Publish, Grant::Subscribe, Grant::Admin];

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

fn insufficient(sentence: &str) -> HttpError {
    refused(StatusCode::FORBIDDEN, "Bearer realm=\"corecast\", error=\"insufficient_scope\"", sentence)
}

/// Lets a request to the API of operators pass.
pub(crate) async fn operate(state: AppState, params: RawPathParams, request: Request, next: Next) -> Answer {
    guard(state, Grant::Admin, &params, request, next).await
}

/// Lets a request to the API of broadcasters pass.
pub(crate) async fn broadcast(state: AppState, params: RawPathParams, request: Request, next: Next) -> Answer {
    guard(state, Grant::Plain, &params, request, next).await
}

/// Lets a request of another machine pass: it shows the token that no client has.
pub(crate) async fn cascade(State(app): AppState, request: Request, next: Next) -> Answer {
    let token = app.config().cascade.token.clone();
    let shown = bearer(request.headers());
    if !token.is_empty() && shown.is_some_and(|shown| is_among(std::slice::from_ref(&token), shown)) {
        return Ok(next.run(request).await);
    }
    app.admit_guess(request.extensions(), "requests without a right token")?;
    let sentence = "Authorization: give the token that machines share (cascade.token)";
    Err(refused(StatusCode::UNAUTHORIZED, "Bearer realm=\"corecast machines\"", sentence))
}

/// Lets a request pass if its token is right for the room in its path, or if none is asked for. A preflight comes
/// without a token.
async fn guard(
    State(app): AppState,
    grant: Grant,
    params: &RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, HttpError> {
    if request.method() == Method::OPTIONS && is_preflight(request.headers()) {
        return Ok(next.run(request).await);
    }
    let room = params.iter().find(|(name, _)| *name == "room").map(|(_, room)| room);
    Wish::new(grant, room, request.headers()).admit(&app, request.extensions())?;
    Ok(next.run(request).await)
}

/// What a client has shown, whether or not it was asked for. `token` is one that came in another way than by the
/// header. All tokens of one person (`sub`) are the same.
pub(crate) fn credential(config: &Config, headers: &HeaderMap, token: Option<&str>) -> Option<Credential> {
    let token = bearer(headers).or(token)?;
    let claims = match config.jwt.keys.is_empty() || !jwt::is_token(token) {
        true => None,
        false => jwt::verify(&config.jwt.keys, token, Time::Whenever).ok(),
    };
    let shown = match claims.as_ref().map(jwt::Claims::subject) {
        Some(Some(subject)) => format!("sub {subject}"),
        _ => token.to_owned(),
    };
    let hash = digest::digest(&digest::SHA256, shown.as_bytes());
    Some(Credential { digest: hash.as_ref().try_into().ok()?, is_personal: claims.is_some() })
}

/// Whether a client may know who is in a room: it may if it may watch, publish, or use the rest of the API.
pub(crate) fn check_listener(config: &Config, wish: Wish<'_>) -> Result<(), HttpError> {
    let granted = |grant| Wish { grant, ..wish }.check(config);
    let refused = match granted(Grant::Subscribe) {
        Err(refused) if refused.status() == StatusCode::FORBIDDEN => refused,
        otherwise => return otherwise,
    };
    // Without a list of its own what is open needs no token, and so tells nothing of the one that came.
    let others = [Grant::Publish, Grant::Plain, Grant::Admin].into_iter().filter(|grant| !config.is_open(*grant));
    if others.into_iter().any(|grant| granted(grant).is_ok()) { Ok(()) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn given(authorization: &str) -> HeaderMap {
        [(header::AUTHORIZATION, HeaderValue::from_str(authorization).expect("text"))].into_iter().collect()
    }

    fn check(config: &Config, grant: Grant, headers: &HeaderMap, token: Option<&str>) -> Result<(), HttpError> {
        Wish::new(grant, Some("r"), headers).with_token(token).check(config)
    }

    #[test]
    fn tokens_are_for_what_they_are_given_for() {
        let mut config = Config::default();
        assert_eq!(check(&config, Grant::Publish, &HeaderMap::new(), None), Ok(()));
        config.whip.tokens = vec!["abc".into(), "def".into()];
        config.whep.tokens = vec!["ghi".into()];
        let status = |grant, authorization: &str| match check(&config, grant, &given(authorization), None) {
            Ok(()) => 200,
            Err(error) => {
                let response = error.into_response();
                assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
                response.status().as_u16()
            }
        };
        for (grant, authorization, expected) in [
            (Grant::Publish, "Bearer abc", 200),
            (Grant::Publish, "bearer  def ", 200),
            (Grant::Publish, "Bearer ghi", 403),
            (Grant::Publish, "Bearer ab", 401),
            (Grant::Publish, "Bearer abcd", 401),
            (Grant::Publish, "Bearer", 401),
            (Grant::Publish, "Basic abc", 401),
            (Grant::Publish, "Bearer a.b.c", 401),
            (Grant::Subscribe, "Bearer ghi", 200),
            (Grant::Subscribe, "Bearer abc", 403),
            (Grant::Data, "Bearer abc", 200),
            (Grant::Data, "Bearer ghi", 200),
            (Grant::Data, "Bearer jkl", 401),
            (Grant::Plain, "Bearer abc", 200),
            (Grant::Plain, "Bearer ghi", 403),
        ] {
            assert_eq!(status(grant, authorization), expected, "{grant} {authorization}");
        }
        assert_eq!(check(&config, Grant::Subscribe, &HeaderMap::new(), Some("ghi")), Ok(()));
        let none = HeaderMap::new();
        assert!(check_listener(&config, Wish::new(Grant::Subscribe, Some("r"), &none)).is_err());
        let publisher = given("Bearer abc");
        let listener = check_listener(&config, Wish::new(Grant::Subscribe, Some("r"), &publisher));
        assert!(listener.is_ok(), "publishers may listen");
    }
}
