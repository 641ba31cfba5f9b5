//! Why a session ended: who, what, and what the client still gets to hear.

use std::fmt;
use std::io;
use std::time::Duration;

use backend::packet_io::PacketError;
use protocol::DecodeError;
use protocol::response::{ErrPacket, error_code};
use thiserror::Error;

/// One of the two peers of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Client,
    Backend,
}

/// An end that is not the client's own goodbye.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    /// The peer closed where it should have said something.
    #[error("{0} closed the connection")]
    Closed(Party),
    /// The connection broke.
    #[error("connection to {0} lost: {1}")]
    Io(Party, io::Error),
    /// The peer kept silent for longer than it may.
    #[error("{0} sent nothing for {1:?}")]
    Silent(Party, Duration),
    /// The peer took no bytes for longer than it may.
    #[error("{0} took nothing for {1:?}")]
    Stuck(Party, Duration),
    /// The TLS handshake failed.
    #[error("TLS with {0} failed: {1}{hint}", hint = tls_hint(*.0, .1))]
    Tls(Party, io::Error),
    /// An exchange that has no end.
    #[error("{0} goes on with the login for ever")]
    Endless(Party),
    /// Bytes that are not the protocol.
    #[error("{0}: {1}")]
    Malformed(Party, DecodeError),
    /// A response nobody asked for.
    #[error("backend sent {0} bytes behind the end of its response")]
    Unsolicited(usize),
    /// The backend said ERR to the login, and the client has it.
    #[error("login denied by the backend")]
    Denied,
    /// The client asks for what cannot be done. The packet tells it.
    #[error("login refused: {0}")]
    Refused(Refusal),
    /// Nobody is there to serve the client; it has been told, and the log has the reason.
    #[error("{0}")]
    NoBackend(String),
    /// The script ends the connection with these packets.
    #[error("ended by the script")]
    Answered(Vec<Vec<u8>>),
    /// The script leaves the connection where it cannot go on.
    #[error("{0}")]
    Script(&'static str),
    /// The proxy is told to stop.
    #[error("the proxy is shutting down")]
    Shutdown,
    /// The operator ends this session.
    #[error("killed by the operator")]
    Killed,
    /// The operator wants nobody on its backend.
    #[error("its backend was taken out of service")]
    BackendTaken,
}

/// What helps where a client does not trust us.
fn tls_hint(party: Party, error: &io::Error) -> &'static str {
    let says_so =
        error.kind() == io::ErrorKind::UnexpectedEof || error.to_string().contains("alert");
    let is_refusal = party == Party::Client && says_so;
    match is_refusal {
        true => {
            " (the client may not trust this proxy's certificate: give it --ssl-cert and --ssl-key that it trusts, or the \
             backend's own, or let its TLS through with --client-ssl-mode=PASSTHROUGH)"
        }
        false => "",
    }
}

/// An ERR of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) sql_state: [u8; 5],
    pub(crate) message: String,
}

impl SessionError {
    /// A refusal of ours that has no code of its own.
    pub(super) fn refused(message: String) -> Self {
        Self::Refused(Refusal::new(
            error_code::UNKNOWN_ERROR,
            ErrPacket::GENERAL_ERROR,
            message,
        ))
    }

    pub(crate) fn packet(party: Party, error: PacketError) -> Self {
        match error {
            PacketError::Closed => Self::Closed(party),
            PacketError::Io(error) => Self::Io(party, error),
            PacketError::Malformed(error) => Self::Malformed(party, error),
        }
    }

    /// The kind of end, as metrics count it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Closed(Party::Client) | Self::Io(Party::Client, _) => "client_lost",
            Self::Closed(Party::Backend) | Self::Io(Party::Backend, _) => "backend_lost",
            Self::Silent(Party::Client, _) => "client_silent",
            Self::Silent(Party::Backend, _) => "backend_silent",
            Self::Stuck(Party::Client, _) => "client_stuck",
            Self::Stuck(Party::Backend, _) => "backend_stuck",
            Self::Tls(Party::Client, _) => "client_tls",
            Self::Tls(Party::Backend, _) => "backend_tls",
            Self::Endless(_) => "endless_login",
            Self::Malformed(Party::Client, _) => "client_malformed",
            Self::Malformed(Party::Backend, _) => "backend_malformed",
            Self::Unsolicited(_) => "backend_unsolicited",
            Self::Denied => "login_denied",
            Self::Refused(_) => "refused",
            Self::NoBackend(_) => "no_backend",
            Self::Answered(_) | Self::Script(_) => "script",
            Self::Shutdown => "shutdown",
            Self::Killed => "killed",
            Self::BackendTaken => "backend_taken",
        }
    }

    /// True when the client is to blame, or has gone.
    pub(crate) fn is_clients(&self) -> bool {
        match self {
            Self::Closed(party)
            | Self::Io(party, _)
            | Self::Silent(party, _)
            | Self::Stuck(party, _)
            | Self::Tls(party, _)
            | Self::Endless(party)
            | Self::Malformed(party, _) => *party == Party::Client,
            Self::Refused(_) | Self::Denied | Self::NoBackend(_) | Self::Answered(_) => true,
            Self::Unsolicited(_)
            | Self::Script(_)
            | Self::Shutdown
            | Self::Killed
            | Self::BackendTaken => false,
        }
    }

    /// What the client is told, where the protocol allows it: nothing when it is gone.
    pub(crate) fn last_payloads(&self, backend: &str) -> Vec<Vec<u8>> {
        match self {
            Self::Answered(payloads) => payloads.clone(),
            _ => self.refusal(backend).iter().map(Refusal::payload).collect(),
        }
    }

    fn refusal(&self, backend: &str) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal.clone()),
            Self::Shutdown => Some(Refusal {
                code: error_code::SERVER_SHUTDOWN,
                sql_state: *b"08S01",
                message: "(proxy) the proxy is shutting down".to_owned(),
            }),
            Self::Killed => Some(Refusal {
                code: error_code::QUERY_INTERRUPTED,
                sql_state: *b"70100",
                message: "(proxy) the session was killed by the operator".to_owned(),
            }),
            Self::BackendTaken => Some(Refusal {
                code: error_code::SERVER_SHUTDOWN,
                sql_state: *b"08S01",
                message: format!("(proxy) backend {backend} was taken out of service"),
            }),
            Self::Tls(Party::Backend, error) => Some(Refusal {
                code: error_code::HANDSHAKE_ERROR,
                sql_state: *b"08S01",
                message: format!("(proxy) TLS with backend {backend} failed: {error}"),
            }),
            Self::Silent(Party::Client, timeout) => Some(Refusal {
                code: error_code::NET_READ_INTERRUPTED,
                sql_state: *b"08S01",
                message: format!("(proxy) nothing came from the client for {timeout:?}"),
            }),
            Self::Unsolicited(_)
            | Self::Denied
            | Self::NoBackend(_)
            | Self::Answered(_)
            | Self::Script(_) => None,
            _ if self.is_clients() => None,
            _ => Some(Refusal {
                code: error_code::SERVER_LOST,
                sql_state: ErrPacket::GENERAL_ERROR,
                message: format!("(proxy) lost connection to backend {backend}: {self}"),
            }),
        }
    }
}

impl Refusal {
    pub(crate) fn new(code: u16, sql_state: [u8; 5], message: impl Into<String>) -> Self {
        Self {
            code,
            sql_state,
            message: message.into(),
        }
    }

    /// The ERR's payload.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        ErrPacket::new(self.code, self.sql_state, &self.message).encode(&mut payload);
        payload
    }

    /// The same in the greeting's place. It has no SQLSTATE there: both sides do not know yet what they speak.
    pub(crate) fn payload_before_greeting(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        let err = ErrPacket {
            sql_state: None,
            ..ErrPacket::new(self.code, self.sql_state, &self.message)
        };
        err.encode(&mut payload);
        payload
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERR {} {}", self.code, self.message)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Backend => "backend",
        })
    }
}
