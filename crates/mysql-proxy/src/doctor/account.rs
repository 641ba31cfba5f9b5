//! The doctor's own options: who logs in at the servers. All others are the proxy's.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use clap::error::ErrorKind;

use crate::defaults_file::text;
use crate::options::one_line;

/// Tells whether a proxy with these options will work with its servers: reaches each of them, looks at what matters there,
/// at certificates, limits, ports and scripts, and says what to do where something is wrong. Nothing is changed.
#[derive(Debug, Parser)]
#[command(name = "mysql-proxy doctor", max_term_width = 100, after_help = LEGEND)]
#[command(override_usage = "mysql-proxy doctor [--login-user NAME] [OPTIONS AS FOR A START]")]
pub(super) struct Arguments {
    /// Account for looking at the servers' settings; it needs no privilege
    #[arg(long, value_name = "NAME")]
    login_user: Option<String>,
    /// Its password; better in MYSQL_PWD or in a file than where every user of this host sees it
    #[arg(long, value_name = "PASSWORD")]
    login_password: Option<String>,
    /// Read user and password from section client of this file, as MySQL's clients do
    #[arg(long, value_name = "FILE")]
    defaults_extra_file: Option<PathBuf>,
}

const LEGEND: &str = "\
All options of the proxy may follow, --defaults-file above all: mysql-proxy --help lists them.
A line for each finding: OK, warning (it works, and somebody will be surprised), error (it does not work), with what to do
about it below. The exit code is 1 if there is an error, else 0.

Example:
  MYSQL_PWD=... mysql-proxy doctor --defaults-file=/etc/mysql-proxy.cnf --login-user=monitor";

/// With a value each.
const OWN: [&str; 3] = ["--login-user", "--login-password", "--defaults-extra-file"];

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) username: String,
    pub(super) password: String,
}

/// The doctor's own arguments, and the proxy's. Both start with a program's name.
pub(super) fn split(arguments: &[OsString]) -> (Vec<OsString>, Vec<OsString>) {
    let (mut own, mut others) = (
        vec![OsString::from("doctor")],
        vec![OsString::from("mysql-proxy")],
    );
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let (name, has_value) = match text.split_once('=') {
            Some((name, _)) => (name, true),
            None => (&*text, false),
        };
        if OWN.contains(&name) {
            own.push(argument.clone());
            if !has_value {
                own.extend(arguments.next().cloned());
            }
        } else if ["--help", "-h", "-?"].contains(&&*text) {
            own.push(OsString::from("--help"));
        } else {
            others.push(argument.clone());
        }
    }
    (own, others)
}

impl Arguments {
    /// An inner error is what to print instead.
    pub(super) fn read(arguments: &[OsString]) -> Result<Result<Self, String>> {
        match Self::try_parse_from(arguments) {
            Ok(own) => Ok(Ok(own)),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                Ok(Err(format!("{}\n", error.to_string().trim_end())))
            }
            Err(error) => bail!(one_line(&error)),
        }
    }

    /// The account of the options, else of the file; `None` for none.
    pub(super) fn account(&self) -> Result<Option<Account>> {
        let file = self.defaults_extra_file.as_ref().map(|path| {
            let text =
                text(path).with_context(|| format!("--defaults-extra-file={}", path.display()))?;
            anyhow::Ok(client_section(&text))
        });
        let file = file.transpose()?.unwrap_or_default();
        let username = self.login_user.clone().or(file.0);
        let environment = || env::var("MYSQL_PWD").ok();
        let password = self.login_password.clone().or(file.1).or_else(environment);
        if let Some(username) = username {
            return Ok(Some(Account {
                username,
                password: password.unwrap_or_default(),
            }));
        }
        ensure!(
            self.login_password.is_none(),
            "--login-password needs --login-user"
        );
        match &self.defaults_extra_file {
            Some(path) => bail!(
                "--defaults-extra-file={}: there is no user in its section [client]",
                path.display()
            ),
            None => Ok(None),
        }
    }
}

/// User and password. Other keys, and lines of other kinds, are other programs' business.
fn client_section(text: &str) -> (Option<String>, Option<String>) {
    let (mut username, mut password) = (None, None);
    let mut is_client = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_client = line == "[client]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_client) else {
            continue;
        };
        let value = Some(unquoted(value.trim()).to_owned());
        match key.trim() {
            "user" => username = value,
            "password" => password = value,
            _ => {}
        }
    }
    (username, password)
}

fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<OsString> {
        texts.iter().map(OsString::from).collect()
    }

    #[test]
    fn its_own_options_are_told_from_the_proxys() {
        let arguments = [
            "doctor",
            "-b",
            "a",
            "--login-user",
            "x",
            "--login-password=y",
            "--daemon",
        ];
        let (own, others) = split(&strings(&arguments));
        assert_eq!(
            own,
            strings(&["doctor", "--login-user", "x", "--login-password=y"])
        );
        assert_eq!(others, strings(&["mysql-proxy", "-b", "a", "--daemon"]));
        let (own, _) = split(&strings(&["doctor", "-?"]));
        assert_eq!(own, strings(&["doctor", "--help"]));
    }

    #[test]
    fn files_of_clients() {
        let text = "[mysql]\nuser=no\n[client]\nuser = app\npassword=\"a=b \"\n# c\nquick\n[other]\npassword=no\n";
        let expected = (Some("app".to_owned()), Some("a=b ".to_owned()));
        assert_eq!(client_section(text), expected);
        assert_eq!(client_section(""), (None, None));
    }
}
