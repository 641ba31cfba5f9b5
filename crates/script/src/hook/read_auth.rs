//! `read_auth()`

use super::{AS_WITHOUT, Answer};
use crate::Connection;
use crate::api::HookDeclaration;

pub(super) const DECLARATION: HookDeclaration = HookDeclaration {
    name: "read_auth",
    parameters: &[],
    when: "The client has said who it is; the server has not heard of it yet.",
    uses: "`proxy.connection.client.username`, `.default_db`, `.scrambled_password`, `.auth_plugin_name`. \
           `proxy.connection.backend_ndx = N` sends the client to another backend, which asks it for the password itself.",
    returns: &[
        ("nothing", "the login goes to the server"),
        (
            "`PROXY_SEND_RESULT`",
            "it does not: an OK in `proxy.response` lets the client in without a server, an ERR denies it",
        ),
        (
            "`PROXY_SEND_QUERY`",
            "the first of `proxy.queries` is the login instead, made by `mysql.proto`",
        ),
    ],
    on_error: AS_WITHOUT,
};

pub(super) fn answer(number: i64, connection: &Connection) -> Answer {
    match number {
        1 if !connection.queries.is_empty() => Answer::SendQuery,
        2 => Answer::SendResult,
        _ => Answer::Default,
    }
}
