//! `read_handshake()`

use tracing::warn;

use super::{AS_WITHOUT, Answer};
use crate::Connection;
use crate::api::HookDeclaration;

pub(super) const DECLARATION: HookDeclaration = HookDeclaration {
    name: "read_handshake",
    parameters: &[],
    when: "A server has greeted; the client has not heard of it yet.",
    uses: "`proxy.connection.server.mysqld_version`, `.thread_id`, `.scramble_buffer`, `.auth_plugin_name`; both sides' \
           addresses.",
    returns: &[
        ("nothing", "the client gets the greeting"),
        (
            "`PROXY_SEND_RESULT`",
            "it gets `proxy.response` and is closed: to deny clients",
        ),
    ],
    on_error: AS_WITHOUT,
};

pub(super) fn answer(number: i64, connection: &Connection) -> Answer {
    match number {
        1 => {
            warn!(
                client = connection.client_name(),
                "(read_handshake) returned proxy.PROXY_SEND_QUERY, which means proxy.PROXY_SEND_RESULT here; \
                 return that instead"
            );
            Answer::SendResult
        }
        2 => Answer::SendResult,
        _ => Answer::Default,
    }
}
