//! `connect_server()`

use super::{AS_WITHOUT, Answer};
use crate::api::HookDeclaration;

pub(super) const DECLARATION: HookDeclaration = HookDeclaration {
    name: "connect_server",
    parameters: &[],
    when: "Before each attempt to reach a server: again after one that could not be reached, which is marked down by then.",
    uses: "`proxy.connection.client.src` and `.dst`; nothing of the user yet. `proxy.connection.backend_ndx = N` chooses the \
           backend. One that is down is not used, the proxy then chooses.",
    returns: &[
        ("nothing", "the backend chosen, else the proxy's choice"),
        (
            "`PROXY_SEND_RESULT`",
            "no server is asked. An ERR in `proxy.response` denies the client; a greeting (`MYSQLD_PACKET_RAW`) makes the \
             script the server",
        ),
        (
            "`PROXY_IGNORE_RESULT`",
            "as nothing; for scripts that took an idle connection",
        ),
    ],
    on_error: AS_WITHOUT,
};

pub(super) fn answer(number: i64) -> Answer {
    match number {
        2 => Answer::SendResult,
        4 => Answer::IgnoreResult,
        _ => Answer::Default,
    }
}
