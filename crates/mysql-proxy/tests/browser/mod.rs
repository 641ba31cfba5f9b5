//! A headless Chromium, driven over its DevTools protocol: one page, pressed and read as a user does.
//!
//! The protocol's messages are JSON objects behind each other on two pipes, each ended by a zero byte: with the pipes the browser
//! ends, too, and there is no port that anyone else could reach.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Process, ScratchDirectory, process};

/// What it is called, on Debian and elsewhere.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// For each answer of the browser, its start included.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at the page.
const PAUSE: Duration = Duration::from_millis(50);

const OPTIONS: [&str; 12] = [
    "--headless=new",
    "--remote-debugging-pipe",
    // Tests may run as root, where the sandbox does not work.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--lang=en",
];

/// A browser with one page.
#[derive(Debug)]
pub(crate) struct Browser {
    /// Before the process: closed first.
    commands: ChildStdin,
    messages: Receiver<Value>,
    _process: Process,
    _profile: ScratchDirectory,
    /// Of the page, once it is known.
    session: Option<String>,
    next_id: u64,
    complaints: Vec<String>,
}

impl Browser {
    /// Starts one with an empty page.
    ///
    /// # Panics
    /// When none is installed, or it does not start.
    pub(crate) fn start() -> Self {
        let profile = ScratchDirectory::new();
        // The protocol is on 3 and 4; what the program prints goes nowhere.
        let mut command = process::command("sh");
        command
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .arg(program())
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Process::spawn(command);
        let (commands, output) = process.take_pipes();
        let mut browser = Self {
            commands,
            messages: read(output),
            _process: process,
            _profile: profile,
            session: None,
            next_id: 1,
            complaints: Vec::new(),
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", attach);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// What was wrong so far: exceptions of scripts, and what the browser refused for the page's own policy.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Shows a page, and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.wait_for("document.readyState === 'complete'");
    }

    /// The value of an expression in the page; promises are waited for.
    ///
    /// # Panics
    /// When it throws.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        match self.try_value(expression) {
            Ok(value) => value,
            Err(error) => panic!("{expression}: {error}"),
        }
    }

    /// A page that is left meanwhile has no values.
    fn try_value(&mut self, expression: &str) -> Result<Value, String> {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.try_call("Runtime.evaluate", parameters)?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(details.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// [`Self::value`] as text.
    #[track_caller]
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// When it is not in time; what the page shows is in the message.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let until = Instant::now() + DEADLINE;
        let expression = format!("Boolean({expression})");
        loop {
            let value = self.try_value(&expression);
            if value == Ok(Value::Bool(true)) {
                return;
            }
            if Instant::now() > until {
                let page = self.try_value("location.href + '\\n' + document.body.innerText");
                panic!("not within {DEADLINE:?}: {expression}: {value:?}\n{page:?}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Presses a key as a user does: `Tab`, `Enter`, `Escape`, ` `, or a character.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            "Escape" => ("Escape", 27, ""),
            " " => ("Space", 32, " "),
            key => ("", 0, key),
        };
        let event = |kind: &str| {
            json!({
                "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number,
                "text": if kind == "keyDown" { text } else { "" },
            })
        };
        self.call("Input.dispatchKeyEvent", event("keyDown"));
        self.call("Input.dispatchKeyEvent", event("keyUp"));
    }

    /// Types where the focus is.
    pub(crate) fn type_text(&mut self, text: &str) {
        for character in text.chars() {
            self.press(&character.to_string());
        }
    }

    /// Goes on with Tab until an expression about the page, `document.activeElement` for example, is true.
    ///
    /// # Panics
    /// When the focus does not get there.
    #[track_caller]
    pub(crate) fn tab_to(&mut self, expression: &str) {
        const STEPS_MAX: usize = 100;
        for _ in 0..STEPS_MAX {
            if self.value(&format!("Boolean({expression})")) == true {
                return;
            }
            self.press("Tab");
        }
        let focus = self.text("document.activeElement.outerHTML");
        panic!("Tab does not lead to {expression}; it is at {focus}");
    }

    /// The window's size in CSS pixels.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// What the system prefers: `light` or `dark`.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// The page as a PNG, in base64.
    pub(crate) fn screenshot(&mut self) -> String {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        answer["data"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        match self.try_call(method, parameters) {
            Ok(answer) => answer,
            Err(error) => panic!("{method}: {error}"),
        }
    }

    #[track_caller]
    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        let id = self.next_id;
        self.next_id += 1;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands
            .write_all(&bytes)
            .expect("the browser takes commands");
        let until = Instant::now() + DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut message = match self.messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => panic!("{method}: no answer in {DEADLINE:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("{method}: the browser has ended"),
            };
            if message["id"] != id {
                self.note(&message);
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(error.to_string()),
                None => Ok(message["result"].take()),
            };
        }
    }

    /// Keeps what is a complaint. Requests that fail are none: a page may ask one who is not there.
    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints
                    .push(parameters["exceptionDetails"].to_string());
            }
            Some("Log.entryAdded")
                if parameters["entry"]["level"] == "error"
                    && parameters["entry"]["source"] != "network" =>
            {
                self.complaints.push(parameters["entry"].to_string());
            }
            _ => {}
        }
    }
}

/// What the browser says.
fn read(output: impl std::io::Read + Send + 'static) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let messages = BufReader::new(output).split(0);
        for message in messages.map_while(Result::ok) {
            let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path).collect();
    let candidates = PROGRAMS
        .iter()
        .flat_map(|program| directories.iter().map(move |path| path.join(program)));
    let found = candidates
        .into_iter()
        .find(|path: &PathBuf| Path::is_file(path));
    found.unwrap_or_else(|| {
        panic!(
            "no Chromium in PATH: `cargo xtask test` installs Debian's package chromium, or says how; elsewhere install \
             Chromium or Chrome, so that one of {} is there",
            PROGRAMS.join(", ")
        )
    })
}
