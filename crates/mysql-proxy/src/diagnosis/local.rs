//! What this host alone can tell of a configuration: options, files, certificates, scripts, limits. Nothing is written, bound
//! or connected to.

use std::fs::{self, OpenOptions};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use backend::{Address, Target};
use lint::Severity as LintSeverity;
use nix::unistd::{AccessFlags, Uid, access};
use transport::tls::Validity;

use super::{Report, Severity};
use crate::check;
use crate::log::Choice;
use crate::options::{ClientSslMode, Options, Plugin};
use crate::settings::{self, Settings};
use crate::{open_files, privileges, tls};

/// A certificate that ends sooner should be in somebody's calendar.
pub(crate) const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);
/// For a name of ours to be looked up.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// Everything that a start looks at before it opens a port. The settings, if there can be any.
pub(crate) fn examine(
    options: &Options,
    directory: &Path,
    report: &mut Report,
) -> Option<Settings> {
    let settings = match Settings::new(options) {
        Ok(settings) => settings,
        Err(error) => {
            report.error(format!("{:#}", options.located(&error)), "");
            return None;
        }
    };
    settings::remarks(options)
        .into_iter()
        .for_each(|remark| report.warning(remark, ""));
    user(options, report);
    files(options, &settings, report);
    if settings.proxy.listen.is_some() {
        certificates(options, directory, report);
    }
    page_certificate(options, directory, report);
    open_file_limit(options, report);
    scripts(options, &settings, report);
    addresses(options, &settings, report);
    Some(settings)
}

fn user(options: &Options, report: &mut Report) {
    let Some(name) = &options.process.user else {
        return;
    };
    match privileges::find(name) {
        Ok(_) => report.ok(format!("--user: there is a user {name}")),
        Err(error) => report.error(
            options.located(&error).to_string(),
            "create the user, or start as root, or leave --user out",
        ),
    }
}

fn files(options: &Options, settings: &Settings, report: &mut Report) {
    if let Choice::File(path) = &settings.log {
        let name = format!("--log-file: {}", path.display());
        said(writable(path), &name, "can be written", report);
    }
    if let Some(path) = &settings.pid_file {
        let name = format!("--pid-file: {}", path.display());
        said(writable(path), &name, "can be written", report);
    }
    if let Some(path) = &options.process.defaults_file {
        report.ok(format!("--defaults-file: {} was read", path.display()));
    }
}

fn said(result: Result<()>, what: &str, good: &str, report: &mut Report) {
    match result {
        Ok(()) => report.ok(format!("{what} {good}")),
        Err(error) => report.error(
            format!("{what}: {error:#}"),
            "create the directory, or give this user the right to write there, or name another one",
        ),
    }
}

/// Whether `path` can be written, or made.
fn writable(path: &Path) -> Result<()> {
    if let Ok(metadata) = path.metadata() {
        ensure!(!metadata.is_dir(), "it is a directory");
        // Opening a FIFO would wait for its reader.
        if metadata.is_file() {
            OpenOptions::new().append(true).open(path)?;
        }
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    ensure!(
        parent.is_dir(),
        "there is no directory {}",
        parent.display()
    );
    access(parent, AccessFlags::W_OK | AccessFlags::X_OK)
        .with_context(|| format!("files cannot be made in {}", parent.display()))
}

/// That of `--http-address`.
fn page_certificate(options: &Options, directory: &Path, report: &mut Report) {
    let operator = options.operator.in_directory(directory);
    if let Err(error) = tls::load_http(&operator, &options.tls) {
        return report.error(format!("{:#}", options.located(&error)), "see docs/web.md");
    }
    let Some(path) = &operator.http_ssl_cert else {
        return;
    };
    match Validity::of_file(path) {
        Ok(validity) => expiry(
            &format!("--http-ssl-cert={}", path.display()),
            validity,
            report,
        ),
        Err(error) => report.error(format!("--http-ssl-cert: {error}"), ""),
    }
}

fn certificates(options: &Options, directory: &Path, report: &mut Report) {
    let options_tls = options.tls.in_directory(directory);
    if let Err(error) = tls::check(&options_tls) {
        return report.error(
            format!("{:#}", options.located(&error)),
            "see docs/operations.md#tls",
        );
    }
    report.ok("TLS: certificates, keys and CAs can be read and fit each other");
    let is_ours = matches!(
        options_tls.client_ssl_mode,
        ClientSslMode::Preferred | ClientSslMode::Required
    );
    let files = [
        (
            "--ssl-cert",
            options_tls.ssl_cert.as_ref().filter(|_| is_ours),
        ),
        ("--ssl-ca", options_tls.ssl_ca.as_ref().filter(|_| is_ours)),
        ("--server-ssl-ca", options_tls.server_ssl_ca.as_ref()),
        ("--server-ssl-cert", options_tls.server_ssl_cert.as_ref()),
    ];
    for (option, path) in files {
        let Some(path) = path else { continue };
        match Validity::of_file(path) {
            Ok(validity) => expiry(&format!("{option}={}", path.display()), validity, report),
            Err(error) => report.error(format!("{option}: {error}"), ""),
        }
    }
    if is_ours && options_tls.ssl_cert.is_none() {
        let place = options_tls.ssl_dir.join("server-cert.pem");
        if let Err(error) = writable(&place) {
            report.warning(
                format!(
                    "--ssl-dir={}: the certificate that is made for clients cannot be kept: {error:#}; there is another one after \
                     each start",
                    options_tls.ssl_dir.display()
                ),
                "let the proxy write there, or give --ssl-cert and --ssl-key",
            );
        }
    }
}

/// Of the certificate that is valid for the shortest time.
pub(crate) fn expiry(what: &str, validity: Validity, report: &mut Report) {
    let now = SystemTime::now();
    let days = |duration: Duration| duration.as_secs() / (24 * 3600);
    if let Ok(early) = validity.not_before.duration_since(now)
        && !early.is_zero()
    {
        return report.error(
            format!("{what}: the certificate is not valid yet"),
            "check this host's clock, or wait",
        );
    }
    match validity.not_after.duration_since(now) {
        Err(past) => report.error(
            format!(
                "{what}: the certificate expired {} days ago",
                days(past.duration())
            ),
            "put a new one in its place; a running proxy takes it with SIGHUP",
        ),
        Ok(left) if left < EXPIRY_WARNING => report.warning(
            format!("{what}: the certificate expires in {} days", days(left)),
            "put a new one in its place; a running proxy takes it with SIGHUP",
        ),
        Ok(left) => report.ok(format!(
            "{what}: the certificate is valid for {} more days",
            days(left)
        )),
    }
}

fn open_file_limit(options: &Options, report: &mut Report) {
    let (wanted, is_root) = (options.process.max_open_files, Uid::effective().is_root());
    let (soft, hard) = match open_files::limits() {
        Ok(limits) => limits,
        Err(error) => return report.error(format!("{error:#}"), ""),
    };
    if wanted > hard && !is_root {
        return report.error(
            format!("--max-open-files={wanted}: the hard limit is {hard}, and only root can raise it"),
            "raise it where the proxy is started (LimitNOFILE= of systemd, ulimit -H -n), or start as root with --user",
        );
    }
    let files = if wanted == 0 { soft } else { wanted };
    let (clients, max) = (
        open_files::clients_of(files) as u64,
        options.proxy.max_connections,
    );
    if max > clients {
        let needed = open_files::needed(max);
        return report.warning(
            format!(
                "--max-connections={max}: {files} open files have room for {clients} clients, more are turned away"
            ),
            format!("give --max-open-files={needed}, or raise the limit where the proxy is started (LimitNOFILE=)"),
        );
    }
    report.ok(format!(
        "{files} open files have room for {clients} clients"
    ));
}

fn scripts(options: &Options, settings: &Settings, report: &mut Report) {
    let operator = &options.operator;
    let admins = operator
        .admin_lua_script
        .as_ref()
        .filter(|_| operator.runs(Plugin::Admin));
    let base = settings.base.as_path();
    let scripts = [
        (
            "--proxy-lua-script",
            options.script.proxy_lua_script.as_ref(),
        ),
        ("--admin-lua-script", admins),
    ];
    for (option, script) in scripts {
        let Some(script) = script else { continue };
        let path = base.join(script);
        let name = format!("{option}: {}", path.display());
        match check::script(&path, &options.script, base) {
            Err(error) => report.error(format!("{name}: {error:#}"), ""),
            Ok(findings) => {
                let told = findings
                    .iter()
                    .filter(|finding| finding.severity != LintSeverity::Note);
                for finding in told {
                    let severity = match finding.severity {
                        LintSeverity::Error => Severity::Error,
                        _ => Severity::Warning,
                    };
                    let text = format!("{name}:{}: {}", finding.line, finding.text);
                    report.add(severity, text, "");
                }
                let is_bad = |severity| severity == LintSeverity::Error;
                if !findings.iter().any(|finding| is_bad(finding.severity)) {
                    report.ok(format!("{name} loads"));
                }
            }
        }
    }
}

/// Everything that is listened on, with its option.
pub(crate) fn listening<'a>(
    options: &'a Options,
    settings: &Settings,
) -> Vec<(&'static str, &'a Address)> {
    let operator = &options.operator;
    let all = [
        (
            "--proxy-address",
            Some(&options.proxy.address),
            settings.proxy.listen.is_some(),
        ),
        (
            "--admin-address",
            Some(&operator.admin_address),
            operator.runs(Plugin::Admin),
        ),
        (
            "--debug-address",
            Some(&operator.debug_address),
            operator.runs(Plugin::Debug),
        ),
        ("--http-address", operator.http_address.as_ref(), true),
    ];
    let used = all.into_iter().filter(|(_, _, is_used)| *is_used);
    used.filter_map(|(option, address, _)| Some((option, address?)))
        .collect()
}

fn addresses(options: &Options, settings: &Settings, report: &mut Report) {
    let listening = listening(options, settings);
    for (index, (option, address)) in listening.iter().enumerate() {
        let is_any_port = matches!(address.target(), Target::Ip(_, 0) | Target::Name(_, 0));
        let same = listening[..index]
            .iter()
            .find(|(_, other)| other.target() == address.target() && !is_any_port);
        if let Some((other, _)) = same {
            report.error(
                format!("{option}: {address} is {other}'s address too"),
                "give one of them another port",
            );
            continue;
        }
        if let Err(error) = usable(address) {
            report.error(
                format!("{option}: {address}: {error:#}"),
                "give an address of this host",
            );
        }
    }
}

fn usable(address: &Address) -> Result<()> {
    match address.target() {
        Target::Ip(..) => Ok(()),
        Target::Name(name, port) => lookup(name.clone(), *port),
        Target::Unix(path) => match fs::symlink_metadata(path) {
            Ok(metadata) => {
                use std::os::unix::fs::FileTypeExt;
                ensure!(
                    metadata.file_type().is_socket(),
                    "a file that is no socket is in the way"
                );
                Ok(())
            }
            Err(_) => writable(path),
        },
    }
}

/// The resolver takes as long as it likes: it is left behind.
fn lookup(name: String, port: u16) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(drop);
        // Nobody waits any more.
        let _ = sender.send(found);
    })?;
    match receiver.recv_timeout(LOOKUP_TIME) {
        Ok(found) => Ok(found?),
        Err(_) => Err(anyhow!("the name is not found within {LOOKUP_TIME:?}")),
    }
}
