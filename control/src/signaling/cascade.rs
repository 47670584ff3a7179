//! `/cascade/…`: what other machines ask, with the token that all machines share. No client's token opens it. Where the
//! settings have no such token there is nothing at these paths.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::Extensions;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router, middleware};
use serde_json::json;

use crate::cascade::{End, Open, Renew, Wanted};
use crate::http::{Answer, App, AppState, WholeBody, complete, parse, source};
use crate::ops::access;

/// A renewal that would tell nothing new is answered after so long.
const HOLD: Duration = Duration::from_secs(2);
/// Interval at which it is looked whether there is something new.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn routes(app: Arc<App>) -> Router {
    if !app.config().cascade.is_on() {
        return Router::new();
    }
    Router::new()
        .route("/cascade/look", post(look))
        .route("/cascade/open", post(open))
        .route("/cascade/renew", post(renew))
        .route("/cascade/end", post(end))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), access::cascade))
        .with_state(app)
}

async fn look(State(app): AppState, body: WholeBody) -> Answer {
    let wanted: Wanted = parse(&body)?;
    Ok(Json(app.cascade().has(&wanted).await?).into_response())
}

async fn open(State(app): AppState, extensions: Extensions, body: WholeBody) -> Answer {
    let (wanted, client): (Open, _) = (parse(&body)?, source(&extensions));
    // A pipe whose opening nobody hears of closes when it is not renewed.
    let opened = complete(async move { Ok(app.cascade().open(&wanted, client).await?) }).await?;
    Ok(Json(opened).into_response())
}

async fn renew(State(app): AppState, body: WholeBody) -> Answer {
    let renew: Arc<Renew> = Arc::new(parse(&body)?);
    let until = Instant::now() + HOLD;
    loop {
        let (app, asked) = (Arc::clone(&app), Arc::clone(&renew));
        let renewed = complete(async move { Ok(app.cascade().renew(&asked).await) }).await?;
        if renew.differs(&renewed) || Instant::now() >= until {
            return Ok(Json(renewed).into_response());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn end(State(app): AppState, body: WholeBody) -> Answer {
    let asked: End = parse(&body)?;
    complete(async move {
        app.cascade().end(&asked).await;
        Ok(())
    })
    .await?;
    Ok(Json(json!({})).into_response())
}
