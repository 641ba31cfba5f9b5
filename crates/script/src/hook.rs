//! The hooks, one file each: what is documented of it, and what the number that it returns means there.

mod connect_server;
mod disconnect_client;
mod read_auth;
mod read_auth_result;
mod read_handshake;
mod read_query;
mod read_query_result;

use crate::Connection;
use crate::api::HookDeclaration;

/// In the order of a connection's life.
pub(crate) const DECLARATIONS: [HookDeclaration; 7] = [
    connect_server::DECLARATION,
    read_handshake::DECLARATION,
    read_auth::DECLARATION,
    read_auth_result::DECLARATION,
    read_query::DECLARATION,
    read_query_result::DECLARATION,
    disconnect_client::DECLARATION,
];

/// What most hooks do when they fail.
const AS_WITHOUT: &str = "The log says where; what happens without the hook, or ERR 1105 with `--lua-on-hook-error=error`.";

/// A hook's answer, before the response is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Go on as without a script.
    Default,
    /// `proxy.PROXY_SEND_QUERY`
    SendQuery,
    /// `proxy.PROXY_SEND_RESULT`
    SendResult,
    /// `proxy.PROXY_IGNORE_RESULT`
    IgnoreResult,
}

/// The hooks, whose answers are read by rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    ConnectServer,
    ReadHandshake,
    ReadAuth,
    ReadAuthResult,
    ReadQuery,
    /// The query asked for its result, and has it.
    ReadQueryResult {
        is_buffered: bool,
    },
    DisconnectClient,
}

/// `number` is 0 where the hook returned nothing that reads as a number.
pub(crate) fn answer(rule: Rule, number: i64, connection: &Connection) -> Answer {
    match rule {
        Rule::ConnectServer => connect_server::answer(number),
        Rule::ReadHandshake => read_handshake::answer(number, connection),
        Rule::ReadAuth => read_auth::answer(number, connection),
        Rule::ReadAuthResult => read_auth_result::answer(number),
        Rule::ReadQuery => read_query::answer(number, connection),
        Rule::ReadQueryResult { is_buffered } => {
            read_query_result::answer(number, is_buffered, connection)
        }
        Rule::DisconnectClient => Answer::Default,
    }
}

#[cfg(test)]
mod tests;
