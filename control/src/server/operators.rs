//! The listener of the API for operators, and what operators want of the supervisor.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;

use crate::connections;
use crate::http::{self, App, Order};
use crate::ops::admin;
use crate::supervisor::report::{Report, send};

/// For the answer to arrive before the server may end.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// The API for operators, with what holds for each route.
pub(crate) fn routes(app: &Arc<App>, asks_for_token: bool) -> Router {
    http::bounded(admin::routes(app, asks_for_token), app)
}

/// Where it listens.
#[derive(Debug)]
pub(super) enum Listener {
    /// Who may open it may use it.
    Unix(UnixListener),
    Tcp(std::net::TcpListener),
}

impl Listener {
    /// The socket that the supervisor has bound.
    pub(super) fn of(socket: OwnedFd) -> io::Result<Self> {
        let unix = UnixListener::from(socket);
        // The address of another family cannot be read as that of a Unix socket.
        let listener = match unix.local_addr() {
            Ok(_) => Self::Unix(unix),
            Err(_) => Self::Tcp(OwnedFd::from(unix).into()),
        };
        match &listener {
            Self::Unix(unix) => unix.set_nonblocking(true)?,
            Self::Tcp(tcp) => tcp.set_nonblocking(true)?,
        }
        Ok(listener)
    }

    /// For people; and whether other machines may reach it.
    pub(super) fn address(&self) -> (String, bool) {
        match self {
            Self::Unix(unix) => {
                let address = unix.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                (path.map(|path| path.display().to_string()).unwrap_or_default(), false)
            }
            Self::Tcp(tcp) => match tcp.local_addr() {
                Ok(address) => (format!("http://{address}/"), !address.ip().is_loopback()),
                Err(_) => (String::new(), true),
            },
        }
    }

    /// Serves until told to stop.
    async fn serve(self, app: Arc<App>, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        match self {
            Self::Unix(unix) => {
                let listener = tokio::net::UnixListener::from_std(unix)?;
                let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
                axum::serve(listener, routes(&app, false)).with_graceful_shutdown(stopped).await
            }
            Self::Tcp(tcp) => {
                let listener = tokio::net::TcpListener::from_std(tcp)?;
                let (bounds, no_tls) = (app.bounds(), watch::channel(None).1);
                connections::serve(listener, no_tls, routes(&app, true), bounds, |_| false, stop).await;
                Ok(())
            }
        }
    }
}

/// Serves operators from now on, and tells the supervisor what they want.
pub(super) fn begin(app: &Arc<App>, listener: Option<Listener>, report: UnixStream, stop: watch::Receiver<bool>) {
    tokio::spawn(pass_on_orders(Arc::clone(app), report));
    let Some(listener) = listener else { return };
    let serving = listener.serve(Arc::clone(app), stop);
    tokio::spawn(async {
        serving.await.unwrap_or_else(|error| tracing::error!("operators are not served: {error}"));
    });
}

/// Tells the supervisor what operators want, as it comes.
async fn pass_on_orders(app: Arc<App>, report: UnixStream) {
    let Some(mut orders) = app.take_orders() else { return };
    while let Some(order) = orders.recv().await {
        tokio::time::sleep(ANSWER_TIME).await;
        let said = match order {
            Order::Drain => Report::Drain,
            Order::Restart => Report::Restart,
        };
        if let Err(error) = send(&report, &said) {
            tracing::error!("the supervisor cannot be told to {order:?}: {error}");
        }
    }
}
