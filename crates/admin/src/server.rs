//! Takes operators in, on a thread and a runtime of its own: whatever clients do, the operator gets in.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use backend::Stream;
use backend::packet_io::write_packet;
use protocol::response::{ErrPacket, error_code};
use proxy::{AsyncListener, BindError, Control, InheritedSockets, Listener, ListenerHandle};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::limits::{CONNECTIONS_MAX, WRITE_TIMEOUT};
use crate::session::Session;
use crate::settings::{Configuration, Context, LiveSettings, Settings};

/// After an `accept` that failed, for lack of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound server that serves nobody yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    name: &'static str,
    settings: LiveSettings,
}

impl Server {
    /// Binds the listening address, unless its socket is inherited. No thread is started.
    ///
    /// # Errors
    /// The address is in use, not ours, or may not be used by us.
    pub fn bind(settings: Settings, inherited: &mut InheritedSockets) -> Result<Self, BindError> {
        let (name, mode) = (settings.interface.name(), Listener::SOCKET_MODE);
        Ok(Self {
            listener: Listener::open(name, &settings.listen, mode, inherited)?,
            name,
            settings: LiveSettings::new(settings),
        })
    }

    /// For those who hand its listening socket on.
    pub fn listener(&self) -> ListenerHandle {
        self.listener.handle(self.name())
    }

    /// The address that operators connect to, with the port that the system chose where port 0 was asked for.
    pub fn local_address(&self) -> String {
        self.listener.local_address()
    }

    /// `admin` or `debug`
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// To exchange them while it serves.
    pub fn settings(&self) -> LiveSettings {
        self.settings.clone()
    }

    /// Serves operators to the end of the process; those to come only until another process does.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(self, control: Control, configuration: Arc<dyn Configuration>) -> io::Result<()> {
        let Self {
            listener,
            name,
            settings,
        } = self;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shutdown = control.shutdown().clone();
        let context = move || Context {
            settings: settings.get(),
            control: control.clone(),
            configuration: Arc::clone(&configuration),
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    match AsyncListener::new(listener) {
                        Ok(listener) => {
                            tokio::select! {
                                () = accept(&listener, name, context) => {}
                                () = shutdown.handed_over() => {}
                            }
                            drop(listener);
                            // Operators who are here stay.
                            pending::<()>().await;
                        }
                        Err(error) => warn!("operators cannot be served: {error}"),
                    }
                });
            })?;
        Ok(())
    }
}

async fn accept(listener: &AsyncListener, name: &'static str, context: impl Fn() -> Context) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let next_id = AtomicU32::new(1);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("{name}: cannot accept an operator: {error}; trying again");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            warn!("{name}: more than {CONNECTIONS_MAX} operators at once: one more was closed");
            tokio::spawn(refuse(stream));
            continue;
        };
        let id = next_id.fetch_add(1, Ordering::Relaxed);
        let context = context();
        tokio::spawn(async move {
            serve(stream, peer, id, &context).await;
            drop(place);
        });
    }
}

async fn serve(mut stream: Stream, peer: Option<SocketAddr>, id: u32, context: &Context) {
    let name = context.settings.interface.name();
    let client = peer.map_or_else(|| "unix socket".to_owned(), |peer| peer.to_string());
    let logged_in = match context.settings.account.log_in(&mut stream, id).await {
        Ok(logged_in) => logged_in,
        Err(error) => return info!("{name}: login of {client} failed: {error}; closing it"),
    };
    info!("{name}: operator {id} logged in from {client}");
    match Session::serve(stream, logged_in, id, context).await {
        Ok(()) => debug!("{name}: operator {id} left"),
        Err(error) => info!("{name}: operator {id} ({client}): {error}; closing it"),
    }
}

/// Too many, in the greeting's place.
async fn refuse(mut stream: Stream) {
    let mut payload = Vec::new();
    let err = ErrPacket {
        sql_state: None,
        ..ErrPacket::new(
            error_code::TOO_MANY_CONNECTIONS,
            *b"08004",
            "too many operators at once",
        )
    };
    err.encode(&mut payload);
    // It may be gone.
    let _ = timeout(WRITE_TIMEOUT, write_packet(&mut stream, 0, &payload)).await;
}
