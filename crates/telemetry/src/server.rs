//! Answers over HTTP, on a thread and a runtime of its own.
//!
//! Whoever asks may be hostile or slow: each has its deadlines, and there are so many at most.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use backend::{Address, Role, Stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proxy::{
    AsyncListener, BindError, Control, InheritedSockets, Listener, ListenerHandle, Shutdown,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

use crate::exposition;
use crate::limits::{CONNECTION_TIME, CONNECTIONS_MAX, HEADER_TIME, WRITE_TIME};
use crate::snapshot::Snapshot;
use crate::tls::{Tls, TlsAcceptor};

/// After an `accept` that failed, for lack of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Of the listener, among others.
const NAME: &str = "http";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection; `None` of a Unix socket.
    pub address: Option<SocketAddr>,
    /// The connection is under TLS.
    pub is_secure: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("unix socket"),
        }
    }
}

/// A bound server that answers nobody yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

impl Server {
    /// Binds the address, unless its socket is inherited. No thread is started.
    ///
    /// # Errors
    /// The address is in use, not ours, or may not be used by us.
    pub fn bind(address: &Address, inherited: &mut InheritedSockets) -> Result<Self, BindError> {
        let listener = Listener::open(NAME, address, Listener::SOCKET_MODE, inherited)?;
        Ok(Self { listener })
    }

    /// Where it listens, with the port that the system chose where port 0 was asked for.
    pub fn local_address(&self) -> String {
        self.listener.local_address()
    }

    /// For those who hand its listening socket on.
    pub fn listener(&self) -> ListenerHandle {
        self.listener.handle(NAME)
    }

    /// Answers to the end of the process, under TLS where that is given; those who come later only until another process does.
    /// `pages` makes what is served beside metrics and health, on the server's own runtime; each request has its [`Peer`] as an
    /// extension.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(
        self,
        control: Control,
        tls: Option<Tls>,
        pages: impl FnOnce() -> Router + Send + 'static,
    ) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name(NAME.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    match AsyncListener::new(self.listener) {
                        Ok(listener) => {
                            let router = router(control.clone()).merge(pages());
                            tokio::select! {
                                () = accept(&listener, tls, &router, control.shutdown()) => {}
                                () = control.shutdown().handed_over() => {}
                            }
                            drop(listener);
                            // Whoever is here has an answer first.
                            pending::<()>().await;
                        }
                        Err(error) => warn!("nobody is answered over HTTP: {error}"),
                    }
                });
            })?;
        Ok(())
    }
}

async fn accept(listener: &AsyncListener, tls: Option<Tls>, router: &Router, shutdown: &Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // One more waits until somebody leaves, which is soon.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, address)) => {
                let peer = Peer {
                    address,
                    is_secure: tls.is_some(),
                };
                let router = router.clone().layer(Extension(peer));
                let acceptor = tls.as_ref().map(Tls::acceptor);
                let shutdown = shutdown.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, router, &shutdown).await,
                        Some(acceptor) => serve_tls(stream, &acceptor, router, &shutdown).await,
                    }
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

async fn serve_tls(stream: Stream, acceptor: &TlsAcceptor, router: Router, shutdown: &Shutdown) {
    match timeout(HEADER_TIME, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, router, shutdown).await,
        Ok(Err(error)) => debug!("http: a TLS handshake failed: {error}"),
        Err(_) => debug!("http: a TLS handshake took too long"),
    }
}

/// Until another process has the port: who asks again is to ask that one.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    router: Router,
    shutdown: &Shutdown,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(
            TokioIo::new(Box::pin(stream)),
            TowerToHyperService::new(router),
        );
    let mut connection = pin!(connection);
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shutdown.handed_over() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    match timeout(CONNECTION_TIME, served).await {
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
