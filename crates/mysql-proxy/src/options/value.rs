//! What an option's text may be: lists, flags, numbers, deadlines.

use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use backend::{Address, AddressError};
use transport::compression::Algorithm;
use transport::{Network, NetworkError};

use super::retired;

pub(crate) type Seconds = Duration;

/// Above this, a number of threads is a slip of the finger.
const THREADS_MAX: usize = 1024;

/// A longer wait is a slip of the finger, and clocks stay far from their end.
const SECONDS_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// Addresses between commas. `\,` is a comma inside one (of a socket's path); a comma at the end adds nothing.
#[derive(Debug, Clone)]
pub(crate) struct AddressList(pub(crate) Vec<Address>);

impl FromStr for AddressList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        list(text)
            .into_iter()
            .map(|element| match element.as_str() {
                "" => Err("there is an empty address in the list".to_owned()),
                address => address
                    .parse()
                    .map_err(|error: AddressError| error.to_string()),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Networks between commas, or nothing at all.
#[derive(Debug, Clone)]
pub(crate) struct NetworkList(pub(crate) Vec<Network>);

impl FromStr for NetworkList {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let networks = list(text);
        networks
            .iter()
            .map(|network| network.parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn list(text: &str) -> Vec<String> {
    let mut elements = vec![String::new()];
    let mut escaped = false;
    for (rest, c) in text.char_indices().map(|(at, c)| (&text[at..], c)) {
        match c {
            '\\' if rest.starts_with("\\,") => escaped = true,
            ',' if !std::mem::take(&mut escaped) => elements.push(String::new()),
            _ => elements
                .last_mut()
                .into_iter()
                .for_each(|element| element.push(c)),
        }
    }
    let mut elements: Vec<_> = elements
        .iter()
        .map(|element| element.trim().to_owned())
        .collect();
    if elements.len() > 1 && elements.last().is_some_and(String::is_empty) {
        elements.pop();
    }
    elements
}

/// A part of the program that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugin {
    Proxy,
    Admin,
    Debug,
}

/// `--plugins`
#[derive(Debug, Clone)]
pub(crate) struct PluginList(pub(crate) Vec<Plugin>);

impl FromStr for PluginList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plugins = list(text).into_iter().map(|name| match name.as_str() {
            "proxy" => Ok(Plugin::Proxy),
            "admin" => Ok(Plugin::Admin),
            "debug" => Ok(Plugin::Debug),
            "" => Err(
                "there is an empty name in the list; --no-proxy switches the proxy off".to_owned(),
            ),
            other if let Some(instead) = retired::plugin(other) => Err(instead.to_owned()),
            other => Err(format!(
                "this program has no plugin {other}; there are proxy, admin and debug"
            )),
        });
        plugins.collect::<Result<_, _>>().map(Self)
    }
}

/// Algorithms of compression: a value that names none is `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlgorithmList(pub(crate) Vec<Algorithm>);

impl FromStr for AlgorithmList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(Vec::new()));
        }
        let algorithms = list(text).into_iter().map(|name| match name.as_str() {
            "zlib" => Ok(Algorithm::Zlib),
            "zstd" => Ok(Algorithm::Zstd),
            _ => Err(format!(
                "`{text}` is neither off nor a list of zlib and zstd"
            )),
        });
        algorithms.collect::<Result<_, _>>().map(Self)
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// A whole number; as in C, `0x` opens a hexadecimal one and `0` an octal one.
pub(super) fn unsigned(text: &str) -> Result<u64, String> {
    let (digits, base) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    u64::from_str_radix(digits, base)
        .map_err(|_| format!("`{text}` is not a whole number of 0 or more"))
}

/// One of so many.
pub(super) fn one_of(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(unsigned(text)?).ok_or_else(|| format!("`{text}` is not a number of 1 or more"))
}

pub(super) fn rate(text: &str) -> Result<u32, String> {
    let number = unsigned(text)?;
    u32::try_from(number).map_err(|_| format!("`{text}` is more than {}", u32::MAX))
}

/// Permissions as `chmod` takes them.
pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("`{text}` is not a mode of three octal digits, like 0770"))
}

pub(super) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    usize::try_from(unsigned(text)?)
        .ok()
        .filter(|threads| *threads <= THREADS_MAX)
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| format!("`{text}` is not a number of threads (1 to {THREADS_MAX})"))
}

/// A deadline where any negative number asks for the default, as old configurations do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timeout(pub(crate) Option<Seconds>);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match number(text)? {
            seconds if seconds < 0.0 => Ok(Self(None)),
            _ => deadline(text).map(|seconds| Self(Some(seconds))),
        }
    }
}

/// Seconds to wait. Zero is refused: every wait would be over before it began.
pub(super) fn deadline(text: &str) -> Result<Seconds, String> {
    match grace(text)? {
        Duration::ZERO => Err("a deadline must be longer than 0 seconds".to_owned()),
        seconds => Ok(seconds),
    }
}

/// Seconds to grant, none at all included.
pub(super) fn grace(text: &str) -> Result<Seconds, String> {
    let seconds = number(text)?;
    if seconds > SECONDS_MAX {
        return Err(format!(
            "`{text}` is more than a year ({SECONDS_MAX} seconds)"
        ));
    }
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("`{text}` is not a number of seconds of 0 or more"))
}

fn number(text: &str) -> Result<f64, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| !number.is_nan())
        .ok_or_else(|| format!("`{text}` is not a number of seconds"))
}
