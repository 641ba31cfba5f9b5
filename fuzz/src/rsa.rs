//! RSA: a server's public key, and a client's encrypted password.

use std::sync::LazyLock;

use protocol::auth::{PasswordKey, encrypt_password};

use crate::input::Input;

static KEY: LazyLock<PasswordKey> =
    LazyLock::new(|| PasswordKey::generate().expect("the system makes keys"));

/// Input: bytes of the nonce, the nonce, a key or a password.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let nonce_bytes = input.byte() % 32;
    let nonce = input.bytes(nonce_bytes.into());
    let bytes = input.rest();
    // A server's, and a client's, that may be anything.
    let _ = encrypt_password(b"secret", nonce, bytes);
    let _ = KEY.decrypt(bytes, nonce);
    let encrypted = encrypt_password(bytes, nonce, KEY.public_pem());
    if let Ok(encrypted) = encrypted {
        let password = KEY.decrypt(&encrypted, nonce).expect("our own key");
        assert_eq!(password.strip_suffix(&[0]), Some(bytes));
    }
}
