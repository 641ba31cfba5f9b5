//! The options of a running process: what counts, what the defaults file says meanwhile, and how the one becomes the other.
//!
//! All or nothing: everything that may fail comes before anything changes. What an option's text means is `options.rs`'s and
//! `settings.rs`'s business.

mod change;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use admin::{Account, Events, LiveSettings, OptionChange, OptionValue};
use anyhow::{Result, anyhow};
use proxy::Control;
use telemetry::Tls;

use crate::log::{self, Log};
use crate::options::{self, Options, Request, Source};
use crate::settings::{self, Settings};
use crate::{open_files, tls};

/// What whoever reads an error has to do.
const NOTHING_CHANGED: &str = "nothing has changed; correct it and reload again";

/// The options of this process.
#[derive(Debug)]
pub(crate) struct Configuration {
    source: Source,
    running: RwLock<Running>,
    /// One reload after the other.
    reloading: Mutex<()>,
    control: Control,
    log: Log,
    /// In the order of [`Settings::operators`].
    operators: Vec<LiveSettings>,
    /// `None` where `--http-address` speaks none.
    http_tls: Option<Tls>,
}

#[derive(Debug, Clone)]
struct Running {
    /// What counts.
    options: Arc<Options>,
    /// What was said last: it differs where something needs a restart.
    wanted: Arc<Options>,
}

impl Configuration {
    /// For a process that was started with these options.
    pub(crate) fn new(
        source: Source,
        options: Arc<Options>,
        control: Control,
        log: Log,
        (operators, http_tls): (Vec<LiveSettings>, Option<Tls>),
    ) -> Self {
        Self {
            source,
            running: RwLock::new(Running {
                wanted: Arc::clone(&options),
                options,
            }),
            reloading: Mutex::new(()),
            control,
            log,
            operators,
            http_tls,
        }
    }

    /// Reads the options again, and changes what can change. `who` asked for it. The log has it all.
    ///
    /// # Errors
    /// Nothing has changed.
    pub(crate) fn reload(&self, who: &str) -> Result<Vec<OptionChange>, Failure> {
        let _one_at_a_time = self.begin();
        let read = self.read();
        let changes = read.and_then(|(options, warnings)| {
            let mut changes = self.apply(who, options)?;
            warnings
                .iter()
                .for_each(|warning| tracing::warn!("{who}: {warning}"));
            changes.extend(warnings.into_iter().map(change::warning));
            Ok(changes)
        });
        changes.map_err(|error| Failure::of(who, &error))
    }

    /// SIGHUP: a process that gave up root may not be able to read its defaults file any more; it still gets new
    /// certificates.
    pub(crate) fn reload_or_read_certificates(&self, who: &str) {
        let Err(Failure { is_denied, .. }) = self.reload(who) else {
            return;
        };
        if is_denied {
            let _one_at_a_time = self.begin();
            let options = self.running().options;
            if let Err(error) = self.apply(who, options) {
                Failure::of(who, &error);
            }
        }
    }

    fn begin(&self) -> MutexGuard<'_, ()> {
        self.reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Running {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.clone()
    }

    fn read(&self) -> Result<(Arc<Options>, Vec<String>)> {
        match options::read_from(&self.source)? {
            Request::Run { options, warnings } => Ok(((*options).into(), warnings)),
            Request::Print(_) => Err(anyhow!("the command line asks for something to print")),
        }
    }

    /// `wanted` is checked as at the start; what needs a restart stays as it runs.
    fn apply(&self, who: &str, wanted: Arc<Options>) -> Result<Vec<OptionChange>> {
        let running = self.running().options;
        Settings::new(&wanted).map_err(|error| wanted.located(&error))?;
        let given = change::effective(&running.given, &wanted.given);
        let effective = Arc::new(*options::of(given)?);
        let mut settings = Settings::new(&effective).map_err(|error| effective.located(&error))?;
        let has_clients = settings.proxy.listen.is_some();
        if has_clients {
            let tls = effective.tls.in_directory(&self.source.directory);
            settings.proxy.tls = tls::load(&tls).map_err(|error| effective.located(&error))?;
        }
        let http = match &self.http_tls {
            Some(tls) => {
                let acceptor = tls::load_http(
                    &effective.operator.in_directory(&self.source.directory),
                    &effective.tls,
                );
                let acceptor = acceptor.map_err(|error| effective.located(&error))?;
                acceptor.map(|acceptor| (tls, acceptor))
            }
            None => None,
        };
        settings.proxy.connections_max = settings.proxy.connections_max.min(open_files::clients()?);
        let backends = self.control.reload(settings.proxy)?;

        self.log.change(effective.log.level, effective.log.format);
        log::catch_panics(effective.log.backtrace_on_crash);
        let has_certificates = has_clients || http.is_some();
        if let Some((tls, acceptor)) = http {
            tls.set(acceptor);
        }
        for (operator, settings) in self.operators.iter().zip(settings.operators) {
            operator.set(settings);
        }
        let mut changes = change::changes(&running.given, &wanted.given, &backends);
        changes.extend(change::kept_backends(&self.control, &effective.given));
        let mut state = self.running.write().unwrap_or_else(PoisonError::into_inner);
        *state = Running {
            options: effective,
            wanted,
        };
        drop(state);
        change::log(who, &changes);
        if has_certificates {
            tracing::info!("{who}: certificates and keys were read again");
        }
        Ok(changes)
    }
}

impl admin::Configuration for Configuration {
    fn options(&self) -> Vec<OptionValue> {
        let Running { options, wanted } = self.running();
        let both = options.given.iter().zip(&wanted.given);
        both.map(|(counts, wanted)| counts.to_value(wanted))
            .collect()
    }

    fn account(&self) -> Option<Account> {
        settings::account(&self.running().options.operator, "web").ok()
    }

    fn events(&self) -> Events {
        self.log.events()
    }

    fn reload(&self) -> Result<Vec<OptionChange>, String> {
        let result = self.reload("RELOAD");
        result.map_err(|failure| failure.text)
    }
}

/// Why nothing has changed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One line.
    pub(crate) text: String,
    /// The system does not let us read a file.
    is_denied: bool,
}

impl Failure {
    /// The log has it from now on.
    fn of(who: &str, error: &anyhow::Error) -> Self {
        let text = format!("{who}: {error:#}; {NOTHING_CHANGED}");
        tracing::error!("{text}");
        let cause = error.downcast_ref::<io::Error>();
        let is_denied = cause.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        Self { text, is_denied }
    }
}
