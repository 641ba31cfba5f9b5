//! What a running proxy needs to know, complete and validated. Where it came from is the command line's business.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::compression::CompressionSettings;
use crate::listener::Listener;
use crate::query_log::QueryLogSettings;
use crate::scripts::ScriptSettings;
use crate::tls::TlsSettings;
use crate::traces::TraceSettings;
use backend::{Address, Balance, Role, Timeouts};
use transport::Network;
use transport::proxy_protocol::{Header, Version};

/// How a connection from the pool becomes the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolReset {
    /// Where its settings are not the client's, it is reset, and the client's are set.
    Auto,
    /// Also whenever another client has used it.
    Always,
    /// Not at all: the client meets what others left.
    Never,
}

/// Everything that [`Proxy::bind`](crate::Proxy::bind) takes. [`Control::reload`](crate::Control::reload) exchanges them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients connect to; `None` for nowhere: then the proxy waits to be told to stop.
    pub listen: Option<Address>,
    /// The servers in option order: read/write first, then read-only.
    pub backends: Vec<(Address, Role)>,
    /// Clients from there begin with a PROXY header.
    pub proxy_protocol_networks: Vec<Network>,
    /// Connections to servers begin with a PROXY header of this version; `None` for none.
    pub server_proxy_protocol: Option<Version>,
    /// Clients that are served at once; `usize::MAX` for any number.
    pub connections_max: usize,
    /// New clients of one address in a second; `None` for any number.
    pub connection_rate_max: Option<NonZeroU32>,
    /// Of the file that a Unix socket listens at.
    pub socket_mode: u32,
    /// How a new client's backend is chosen.
    pub balance: Balance,
    /// Threads that serve sessions.
    pub workers: NonZeroUsize,
    /// Each attempt to connect to one address of a backend.
    pub connect_timeout: Duration,
    /// From the connection to the server's greeting. Longer than a connect: a server may look up our name first.
    pub greeting_timeout: Duration,
    /// Each wait for a client's packet before it is logged in. Below the servers' own `connect_timeout` (10 s).
    pub login_timeout: Duration,
    /// Each wait for bytes of a logged-in client or of its backend.
    pub read_timeout: Duration,
    /// Each wait for a peer to take bytes.
    pub write_timeout: Duration,
    /// What running commands and open transactions get when the proxy is told to stop.
    pub shutdown_timeout: Duration,
    /// How long sessions go on when another process takes the clients to come; then they are told to stop.
    pub handover_timeout: Duration,
    /// A command whose script wants an idle connection, and there is none; zero to close the client at once.
    pub pool_wait: Duration,
    /// How a connection from the pool becomes the client's.
    pub pool_reset: PoolReset,
    /// Which statements are logged; [`Service::query_records`](crate::Service::query_records) has them.
    pub query_log: QueryLogSettings,
    /// Which commands are traced; [`Service::traced_commands`](crate::Service::traced_commands) has them.
    pub traces: TraceSettings,
    /// Bytes that the digests of all workers may take; 0 for no digests.
    pub digest_bytes_max: usize,
    /// `None` where nobody has a script.
    pub script: Option<ScriptSettings>,
    /// Where TLS is spoken.
    pub tls: TlsSettings,
    /// Where the compressed protocol is spoken.
    pub compression: CompressionSettings,
}

impl Settings {
    /// The defaults for the given addresses: round-robin, one worker a core, 2 s to connect, 8 h to read and write.
    pub fn new(listen: Option<Address>, backends: Vec<(Address, Role)>) -> Self {
        let hours = Duration::from_secs(3600);
        Self {
            listen,
            backends,
            proxy_protocol_networks: Vec::new(),
            server_proxy_protocol: None,
            connections_max: usize::MAX,
            connection_rate_max: None,
            socket_mode: Listener::SOCKET_MODE,
            balance: Balance::RoundRobin,
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            connect_timeout: Duration::from_secs(2),
            greeting_timeout: Duration::from_secs(10),
            login_timeout: Duration::from_secs(8),
            read_timeout: 8 * hours,
            write_timeout: 8 * hours,
            shutdown_timeout: Duration::from_secs(10),
            handover_timeout: hours,
            pool_wait: Duration::from_secs(10),
            pool_reset: PoolReset::Auto,
            query_log: QueryLogSettings::default(),
            traces: TraceSettings::default(),
            digest_bytes_max: 8 * 1024 * 1024,
            script: None,
            tls: TlsSettings::default(),
            compression: CompressionSettings::default(),
        }
    }

    /// What servers are told of connections that are for no client.
    pub(crate) fn own_header(&self) -> Vec<u8> {
        let version = self.server_proxy_protocol;
        version.map_or_else(Vec::new, |version| Header::Local.encode(version))
    }

    /// Connections to servers are others than with `before`: of another kind, or to servers that are not named any more.
    pub(crate) fn are_connections_others(&self, before: &Self) -> bool {
        let names = |(address, _): &(Address, Role)| {
            let mut backends = self.backends.iter();
            backends.any(|(known, _)| known == address)
        };
        !before.backends.iter().all(names)
            || self.server_proxy_protocol != before.server_proxy_protocol
            || self.compression.server != before.compression.server
            || self.tls.server_mode != before.tls.server_mode
            || self.tls.server_fingerprint != before.tls.server_fingerprint
    }

    pub(crate) fn backend_timeouts(&self) -> Timeouts {
        Timeouts {
            connect: self.connect_timeout,
            greeting: self.greeting_timeout,
        }
    }
}
