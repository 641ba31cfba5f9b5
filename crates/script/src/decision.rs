//! What a hook is called for and what it answers.

use crate::InjectionResult;

/// The point in a connection's life where a script is asked.
#[derive(Debug)]
pub enum Hook<'a> {
    /// `connect_server()`
    ConnectServer,
    /// `read_handshake()`
    ReadHandshake,
    /// `read_auth()`
    ReadAuth,
    /// `read_auth_result(auth)`: a server's packet of the login.
    ReadAuthResult(&'a [u8]),
    /// `read_query(packet)`: command byte and body.
    ReadQuery(&'a [u8]),
    /// `read_query_result(inj)`
    ReadQueryResult(Box<InjectionResult>),
    /// `disconnect_client()`
    DisconnectClient,
}

/// A hook's answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// No such hook, no number, an error: go on as without a script.
    #[default]
    Default,
    /// `proxy.PROXY_SEND_QUERY`
    SendQuery,
    /// `proxy.PROXY_SEND_RESULT`, with what `proxy.response` holds.
    SendResult(Response),
    /// `proxy.PROXY_IGNORE_RESULT`
    IgnoreResult,
}

/// `proxy.response` as packets for the client. A response that could not be built is an ERR that says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Payloads without headers, in order, framed for the client's capabilities.
    pub payloads: Vec<Vec<u8>>,
}

impl Hook<'_> {
    /// The function's name in the script.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConnectServer => "connect_server",
            Self::ReadHandshake => "read_handshake",
            Self::ReadAuth => "read_auth",
            Self::ReadAuthResult(_) => "read_auth_result",
            Self::ReadQuery(_) => "read_query",
            Self::ReadQueryResult(_) => "read_query_result",
            Self::DisconnectClient => "disconnect_client",
        }
    }
}

impl Response {
    /// True when it tells the client of an error.
    pub fn is_err(&self) -> bool {
        let first = self.payloads.first().and_then(|payload| payload.first());
        first == Some(&protocol::response::ErrPacket::HEADER)
    }
}
