//! The scripts of `lua/scripts`, as operators start them.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program that includes this uses a part of it"
)]

use std::path::{Path, PathBuf};

use testkit::{ProxyProcess, Server};

use crate::scripted::{BINARY, ScriptFile};

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lua/scripts")
}

/// A proxy with a shipped script: `name` is without `.lua`.
pub(crate) fn proxy(name: &str, primaries: &[&Server], more: &[&str]) -> ProxyProcess {
    let script = directory().join(name).with_extension("lua");
    start(&script, primaries, more)
}

/// The same with settings, `x = { y = 1 }` in Lua, in the way that docs/scripts.md tells. What fails is an error for the
/// client, and so is a global variable that is no hook.
pub(crate) fn with_settings(
    name: &str,
    settings: &str,
    primaries: &[&Server],
    more: &[&str],
) -> (ScriptFile, ProxyProcess) {
    let script = directory().join(name).with_extension("lua");
    let file = ScriptFile::new(&format!(
        "if not proxy.global.is_set then
           proxy.global.is_set = true
           proxy.global.config.{settings}
         end
         local hooks = {{
           connect_server = true, read_handshake = true, read_auth = true, read_auth_result = true, read_query = true,
           read_query_result = true, disconnect_client = true,
         }}
         local environment = getfenv(1)
         local strict = setmetatable({{}}, {{
           __index = environment,
           __newindex = function(_, name, value)
             assert(hooks[name], name)
             environment[name] = value
           end,
         }})
         setfenv(assert(loadfile('{}')), strict)()",
        script.display()
    ));
    let more = [&["--lua-on-hook-error=error"], more].concat();
    let proxy = start(&file.path, primaries, &more);
    (file, proxy)
}

fn start(script: &Path, primaries: &[&Server], more: &[&str]) -> ProxyProcess {
    let mut arguments = vec![
        format!("--proxy-lua-script={}", script.display()),
        "--lua-on-load-error=error".to_owned(),
    ];
    for server in primaries {
        arguments.push(format!("--proxy-backend-addresses={}", server.address()));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ProxyProcess::start(BINARY, &[&arguments, more].concat())
}
