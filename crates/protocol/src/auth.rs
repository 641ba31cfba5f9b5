//! The authentication methods: what a client computes, and how a server checks it.
//!
//! A proxy relays these; it computes them itself only where the two sides of a login are not equally secure.

pub mod caching_sha2_password;
mod digest;
pub mod mysql_native_password;
mod rsa_password;

pub use rsa_password::{PasswordKey, RsaPasswordError, encrypt_password};

/// The name of the 4.1 method.
pub const MYSQL_NATIVE_PASSWORD: &[u8] = b"mysql_native_password";
/// The default method since MySQL 8.0.
pub const CACHING_SHA2_PASSWORD: &[u8] = b"caching_sha2_password";
/// Its predecessor without a cache.
pub const SHA256_PASSWORD: &[u8] = b"sha256_password";
/// The password itself, for servers that must see it.
pub const MYSQL_CLEAR_PASSWORD: &[u8] = b"mysql_clear_password";
/// MariaDB's questions and answers, for PAM: the answers are passwords as they are.
pub const DIALOG: &[u8] = b"dialog";
