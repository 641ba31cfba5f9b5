//! `read_auth_result(auth)`

use super::{AS_WITHOUT, Answer};
use crate::api::HookDeclaration;

pub(super) const DECLARATION: HookDeclaration = HookDeclaration {
    name: "read_auth_result",
    parameters: &[("auth", "{ packet: string }")],
    when: "Each packet of the server during the login: OK, ERR, or another question to the client.",
    uses: "`auth.packet`, whose first byte is `MYSQLD_PACKET_OK`, `_ERR`, 254 (another plugin) or 1 (more data).",
    returns: &[
        ("nothing", "the client gets the packet"),
        (
            "`PROXY_SEND_RESULT`",
            "it gets `proxy.response` instead. An ERR ends the connection; an ERR of the server cannot be made a success",
        ),
    ],
    on_error: AS_WITHOUT,
};

pub(super) fn answer(number: i64) -> Answer {
    match number {
        2 => Answer::SendResult,
        _ => Answer::Default,
    }
}
