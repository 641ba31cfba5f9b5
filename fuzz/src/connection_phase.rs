//! What peers say before the first command, and COM_CHANGE_USER: what is read and written again reads the same.

use protocol::change_user::ChangeUser;
use protocol::connection_phase::{
    AuthPacket, HandshakeResponse41, HandshakeResponse320, HandshakeV10, SslRequest, version_number,
};
use protocol::{Capabilities, DecodeError};

use crate::input::Input;
use crate::memory::bounded;

/// Input: capabilities, a payload.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let capabilities = input.capabilities();
    let payload = input.rest();
    greeting(payload, capabilities);
    response41(payload, capabilities);
    response320(payload);
    auth_packet(payload);
    change_user(payload, capabilities);
    if SslRequest::is(payload) {
        assert_eq!(payload.len(), SslRequest::BYTES);
    }
}

fn greeting(payload: &[u8], capabilities: Capabilities) {
    let mut patched = payload.to_vec();
    let patch = HandshakeV10::patch_capabilities(&mut patched, capabilities);
    let Ok(greeting) = bounded(payload, || HandshakeV10::decode(payload)) else {
        return;
    };
    assert_eq!(patch, Ok(()));
    version_number(&greeting.server_version);
    // Its length is in a byte, which is not there without PLUGIN_AUTH; servers' nonces have 20.
    let nonce_bytes_max = match greeting.capabilities.contains(Capabilities::PLUGIN_AUTH) {
        true => 254,
        false => 20,
    };
    if greeting.auth_plugin_data.len() <= nonce_bytes_max {
        let again = reread(|out| greeting.encode(out), HandshakeV10::decode);
        assert_eq!(again.as_ref(), Ok(&greeting));
    }
    if let Ok(patched) = HandshakeV10::decode(&patched) {
        assert_eq!(patched.server_version, greeting.server_version);
        assert_eq!(patched.capabilities.low(), capabilities.low());
    }
}

fn response41(payload: &[u8], capabilities: Capabilities) {
    let Ok(response) = bounded(payload, || HandshakeResponse41::decode(payload)) else {
        return;
    };
    let again = reread(|out| response.encode(out), HandshakeResponse41::decode);
    assert_eq!(again.as_ref(), Ok(&response));
    let mut patched = payload.to_vec();
    let patch = HandshakeResponse41::patch_capabilities(&mut patched, capabilities);
    assert_eq!(patch, Ok(()));
}

fn response320(payload: &[u8]) {
    let Ok(response) = bounded(payload, || HandshakeResponse320::decode(payload)) else {
        return;
    };
    let again = reread(|out| response.encode(out), HandshakeResponse320::decode);
    assert_eq!(again.as_ref(), Ok(&response));
}

fn auth_packet(payload: &[u8]) {
    if let Ok(AuthPacket::SwitchRequest(request)) = AuthPacket::decode(payload) {
        let mut again = Vec::new();
        request.encode(&mut again);
        assert_eq!(
            AuthPacket::decode(&again),
            Ok(AuthPacket::SwitchRequest(request))
        );
    }
}

fn change_user(payload: &[u8], capabilities: Capabilities) {
    if let Ok(change) = bounded(payload, || ChangeUser::decode(payload, capabilities)) {
        let mut again = Vec::new();
        change.encode(capabilities, &mut again);
        assert_eq!(ChangeUser::decode(&again, capabilities), Ok(change));
    }
}

fn reread<T>(
    encode: impl FnOnce(&mut Vec<u8>),
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut payload = Vec::new();
    encode(&mut payload);
    decode(&payload)
}
