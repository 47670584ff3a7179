//! The ways in which clients speak to rooms: each folder translates one of them to the domain (`rooms`) and back. None
//! knows another, and the domain knows none.

mod broadcasters;
mod page;
mod whip_whep;

use std::sync::Arc;

use axum::Router;

use crate::http::App;

/// Every route of them.
pub(crate) fn routes(app: &Arc<App>) -> Router {
    broadcasters::routes(Arc::clone(app)).merge(page::routes(Arc::clone(app))).merge(whip_whep::routes(Arc::clone(app)))
}
