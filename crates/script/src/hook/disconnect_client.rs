//! `disconnect_client()`

use crate::api::HookDeclaration;

pub(super) const DECLARATION: HookDeclaration = HookDeclaration {
    name: "disconnect_client",
    parameters: &[],
    when: "The connection ends, for whatever reason; once.",
    uses: "What is still known of the connection; nothing can be sent any more.",
    returns: &[("anything", "changes nothing")],
    on_error: "The log says where.",
};
