//! Answers over HTTP, on a thread and a runtime of its own.
//!
//! Whoever asks may be hostile or slow: each has its deadlines, and there are so many at most.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use backend::Role;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proxy::Control;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::exposition;
use crate::limits::{CONNECTION_TIME, CONNECTIONS_MAX, HEADER_TIME};
use crate::snapshot::Snapshot;

/// After an `accept` that failed, for lack of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound server that answers nobody yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Binds `HOST:PORT`. No thread is started.
    ///
    /// # Errors
    /// The address is in use, not ours, or may not be used by us.
    pub fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Where it listens, with the port that the system chose where port 0 was asked for.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// Answers to the end of the process.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(self, control: Control) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    match tokio::net::TcpListener::from_std(self.listener) {
                        Ok(listener) => accept(&listener, &router(control)).await,
                        Err(error) => warn!("metrics cannot be served: {error}"),
                    }
                });
            })?;
        Ok(())
    }
}

async fn accept(listener: &tokio::net::TcpListener, router: &Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // One more waits until somebody leaves, which is soon.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    serve(stream, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!("http: cannot accept a connection: {error}; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("http: a connection ended early: {error}"),
        Err(_) => debug!("http: a connection was open for too long"),
    }
}

fn router(control: Control) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/live", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .with_state(control)
}

async fn metrics(State(control): State<Control>) -> Response {
    match exposition::text(Snapshot::take(&control).await) {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Whether a load balancer may send clients here.
async fn ready(State(control): State<Control>) -> (StatusCode, String) {
    if control.is_draining() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the proxy is shutting down\n".to_owned(),
        );
    }
    let backends = control.backends();
    let all = backends.all();
    let takes_clients = |role| {
        all.iter()
            .any(|backend| backend.role() == role && backend.takes_clients())
    };
    match takes_clients(Role::ReadWrite) {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => {
            let reasons = backends.down_reasons();
            (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("no read/write backend takes clients: {reasons}\n"),
            )
        }
    }
}
