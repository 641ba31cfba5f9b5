//! `read_query_result(inj)`

use tracing::{error, info};

use super::{AS_WITHOUT, Answer};
use crate::Connection;
use crate::api::HookDeclaration;

pub(super) const DECLARATION: HookDeclaration = HookDeclaration {
    name: "read_query_result",
    parameters: &[("inj", "mysql_proxy.Injection")],
    when: "The response to a query of `proxy.queries` is complete. Not for commands that went to the server as they came, \
           nor for those without a response.",
    uses: "`inj`; `proxy.response` as `read_query` left it; `proxy.queries`, where more may be added, or taken back.",
    returns: &[
        (
            "nothing",
            "a result that was kept goes to the client; one that was not is there already",
        ),
        (
            "`PROXY_SEND_RESULT`",
            "the client gets `proxy.response` instead. Needs `resultset_is_needed`",
        ),
        (
            "`PROXY_IGNORE_RESULT`",
            "the client gets nothing of it. Needs `resultset_is_needed`",
        ),
    ],
    on_error: AS_WITHOUT,
};

pub(super) fn answer(number: i64, is_buffered: bool, connection: &Connection) -> Answer {
    match number {
        0 => Answer::Default,
        2 if is_buffered => Answer::SendResult,
        4 if is_buffered => Answer::IgnoreResult,
        other if is_buffered => {
            info!(
                client = connection.client_name(),
                "(read_query_result) returned {other}, which means nothing; the result goes to the client"
            );
            Answer::Default
        }
        other => {
            error!(
                client = connection.client_name(),
                "(read_query_result) returned {other}, but the query hasn't asked to buffer its result \
                 (resultset_is_needed = true): the client has it already"
            );
            Answer::Default
        }
    }
}
