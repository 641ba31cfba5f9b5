//! `read_query(packet)`

use tracing::error;

use super::{AS_WITHOUT, Answer};
use crate::Connection;
use crate::api::HookDeclaration;

pub(super) const DECLARATION: HookDeclaration = HookDeclaration {
    name: "read_query",
    parameters: &[
        ("packet", "string"),
        ("attributes", "table<string, any>|nil"),
    ],
    when: "Each command of the client, all of it: `packet:byte()` is the command, `packet:sub(2)` its body, of a COM_QUERY \
           the text. Also COM_QUIT; an empty packet has no byte. `attributes` are the query attributes of a COM_QUERY by \
           name (numbers and strings; of several by one name the first), nil where there are none.",
    uses: "Everything of the connection. `proxy.response` and `proxy.queries` are empty.",
    returns: &[
        (
            "nothing",
            "the command goes to the server as it came; `read_query_result` is not called for it",
        ),
        (
            "`PROXY_SEND_QUERY`",
            "those in `proxy.queries` go instead, one after the other. Exactly one of their results may reach the client",
        ),
        (
            "`PROXY_SEND_RESULT`",
            "the client gets `proxy.response`. What is in `proxy.queries` is sent afterwards, for `read_query_result` alone",
        ),
    ],
    on_error: AS_WITHOUT,
};

pub(super) fn answer(number: i64, connection: &Connection) -> Answer {
    let queue_is_empty = connection.queries.is_empty();
    match number {
        2 => return Answer::SendResult,
        1 if !queue_is_empty => return Answer::SendQuery,
        1 => error!(
            client = connection.client_name(),
            "(read_query) returned proxy.PROXY_SEND_QUERY, but proxy.queries is empty; the command is forwarded \
             as it is"
        ),
        0 => {}
        other => error!(
            client = connection.client_name(),
            "(read_query) returned {other}, which means nothing; the command is forwarded as it is"
        ),
    }
    if !queue_is_empty {
        error!(
            client = connection.client_name(),
            "(read_query) added to proxy.queries but did not return proxy.PROXY_SEND_QUERY; the queries are \
             discarded, the command is forwarded as it is"
        );
    }
    Answer::Default
}
