//! `mysql.password`: what `mysql_native_password` computes, for scripts that log in or check logins themselves.
//!
//! A challenge may have a 21st byte, as greetings carry it: it is left out. Values of other lengths give an empty text
//! and a log line, or false.

use mlua::{Lua, LuaString, Result, Table, Value};
use protocol::auth::mysql_native_password::{
    HASH_BYTES, hash, scramble_hash, unscramble, verify_double_hash,
};
use tracing::error;

use crate::api::{Field, Object};
use crate::builtin_module::{self, string};
use crate::callback;

const CHALLENGE_BYTES: usize = 20;

/// `mysql.password`
pub(crate) const MODULE: Object = Object {
    path: "require(\"mysql.password\")",
    class: "mysql_proxy.Password",
    text: "What `mysql_native_password` computes. Also the global `password` once it is required.",
    fields: &[
        Field::read(
            "hash",
            "fun(password: string): string",
            "SHA1 of the password.",
        ),
        Field::read(
            "scramble",
            "fun(challenge: string, hash: string): string",
            "The answer to a challenge; empty when a length is wrong.",
        ),
        Field::read(
            "unscramble",
            "fun(challenge: string, response: string, double_hash: string): string",
            "The hash behind an answer; empty when a length is wrong.",
        ),
        Field::read(
            "check",
            "fun(challenge: string, response: string, double_hash: string): boolean",
            "Whether the answer is right for the stored double hash.",
        ),
    ],
};

/// The module's table.
///
/// # Errors
/// No memory.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let module = builtin_module::new(lua, "hashes and checks passwords as MySQL 4.1 does")?;
    module.raw_set("hash", callback::create(lua, hash_function)?)?;
    module.raw_set("scramble", callback::create(lua, scramble_function)?)?;
    module.raw_set("unscramble", callback::create(lua, unscramble_function)?)?;
    module.raw_set("check", callback::create(lua, check_function)?)?;
    Ok(module)
}

/// `hash(password)`
fn hash_function(lua: &Lua, password: Value) -> Result<LuaString> {
    let password = string(lua, 1, "hash", &password)?;
    lua.create_string(hash(&password))
}

/// `scramble(challenge, hash)`
fn scramble_function(lua: &Lua, (challenge, hash): (Value, Value)) -> Result<LuaString> {
    let challenge = string(lua, 1, "scramble", &challenge)?;
    let hash = string(lua, 2, "scramble", &hash)?;
    lua.create_string(or_empty("scramble", scrambled(&challenge, &hash)))
}

/// `unscramble(challenge, response, double_hash)`
fn unscramble_function(
    lua: &Lua,
    (challenge, response, double_hash): (Value, Value, Value),
) -> Result<LuaString> {
    let challenge = string(lua, 1, "unscramble", &challenge)?;
    let response = string(lua, 2, "unscramble", &response)?;
    let double_hash = string(lua, 3, "unscramble", &double_hash)?;
    let hash = unscrambled(&challenge, &response, &double_hash);
    lua.create_string(or_empty("unscramble", hash))
}

/// `check(challenge, response, double_hash)`
fn check_function(
    lua: &Lua,
    (challenge, response, double_hash): (Value, Value, Value),
) -> Result<bool> {
    let challenge = string(lua, 1, "check", &challenge)?;
    let response = string(lua, 2, "check", &response)?;
    let double_hash = string(lua, 3, "check", &double_hash)?;
    Ok(checked(&challenge, &response, &double_hash).unwrap_or(false))
}

fn scrambled(challenge: &[u8], hash: &[u8]) -> Option<[u8; HASH_BYTES]> {
    Some(scramble_hash(hash.try_into().ok()?, nonce(challenge)?))
}

fn unscrambled(challenge: &[u8], response: &[u8], double_hash: &[u8]) -> Option<[u8; HASH_BYTES]> {
    let is_nonce = challenge.len() == CHALLENGE_BYTES;
    let nonce = is_nonce.then_some(challenge)?;
    let (response, double_hash) = (response.try_into().ok()?, double_hash.try_into().ok()?);
    Some(unscramble(response, nonce, double_hash))
}

fn checked(challenge: &[u8], response: &[u8], double_hash: &[u8]) -> Option<bool> {
    let (response, double_hash) = (response.try_into().ok()?, double_hash.try_into().ok()?);
    Some(verify_double_hash(response, nonce(challenge)?, double_hash))
}

fn nonce(challenge: &[u8]) -> Option<&[u8]> {
    match challenge.len() {
        CHALLENGE_BYTES => Some(challenge),
        length if length == CHALLENGE_BYTES + 1 => challenge.get(..CHALLENGE_BYTES),
        _ => None,
    }
}

fn or_empty(function: &str, value: Option<[u8; HASH_BYTES]>) -> Vec<u8> {
    value.map_or_else(
        || {
            error!("password.{function}() got a challenge or a hash of another length than 20 bytes, and returns an empty string");
            Vec::new()
        },
        |value| value.to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `script` with the module as `password`, and `hex` to compare with.
    fn run(script: &str) {
        let lua = Lua::new();
        callback::install(&lua).unwrap();
        lua.globals()
            .set("password", module(&lua).unwrap())
            .unwrap();
        lua.load(
            "function hex(s) return (s:gsub('.', function(c) return ('%02x'):format(c:byte()) end)) end
             challenge = 'ABCDEFGHIJKLMNOPQRST'
             once = password.hash('secret')
             twice = password.hash(once)",
        )
        .exec()
        .unwrap();
        lua.load(script).exec().unwrap();
    }

    #[test]
    fn known_answers() {
        run(
            "assert(hex(once) == 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4')
             assert(hex(twice) == '14e65567abdb5135d0cfd9a70b3032c179a49ee7')
             assert(hex(password.hash('')) == 'da39a3ee5e6b4b0d3255bfef95601890afd80709')
             assert(hex(password.hash('a\\0b')) == '4a3dec2d1f8245280855c42db0ee4239f917fdb8')
             assert(hex(password.hash(42)) == '92cfceb39d57d914ed8b14d0e37643de0797ae56')
             local answer = password.scramble(challenge, once)
             assert(hex(answer) == '28441590674285e7d03cae7af237504797f70e91')
             assert(hex(password.scramble(challenge .. '\\0', once)) == hex(answer))
             assert(password.unscramble(challenge, answer, twice) == once)",
        );
    }

    #[test]
    fn check_tells_right_from_wrong() {
        run("local answer = password.scramble(challenge, once)
             assert(password.check(challenge, answer, twice) == true)
             assert(password.check(challenge .. '\\0', answer, twice) == true)
             assert(password.check(challenge, answer, once) == false)
             assert(password.check(challenge:lower(), answer, twice) == false)
             assert(password.check(challenge, once, twice) == false)");
    }

    #[test]
    fn other_lengths_give_nothing() {
        run("assert(password.scramble(challenge:sub(2), once) == '')
             assert(password.scramble(challenge .. '\\0\\0', once) == '')
             assert(password.scramble(challenge, 'short') == '')
             assert(password.scramble('', '') == '')
             assert(password.unscramble(challenge .. '\\0', once, twice) == '')
             assert(password.unscramble(challenge, 'short', twice) == '')
             assert(password.unscramble(challenge, once, 'short') == '')
             assert(password.check('short', once, twice) == false)
             assert(password.check(challenge, '', twice) == false)
             assert(password.check(challenge, once, twice .. 'x') == false)");
    }

    #[test]
    fn wrong_types_are_errors() {
        run("assert(not pcall(password.hash))
             assert(not pcall(password.hash, {}))
             assert(not pcall(password.scramble, challenge))
             assert(not pcall(password.unscramble, challenge, once, nil))
             assert(not pcall(password.check, challenge, true, twice))
             local _, message = pcall(password.hash, {})
             assert(message:find(\"bad argument #1 to 'hash' (string expected, got table)\", 1, true))");
    }
}
