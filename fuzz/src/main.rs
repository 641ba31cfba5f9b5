//! libFuzzer with the target that `FUZZ_TARGET` names: `cargo xtask fuzz` builds and starts it.
#![no_main]

use std::env;
use std::sync::LazyLock;

static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    let name = env::var("FUZZ_TARGET").unwrap_or_default();
    fuzz::target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name} is no target"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET(input));
