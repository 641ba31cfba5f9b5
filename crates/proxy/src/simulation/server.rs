//! A simulated server: what it holds of each session is there in every row, and it fails as the plan says.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend::{Availability, Backend, Health};
use protocol::auth::{MYSQL_NATIVE_PASSWORD, mysql_native_password};
use protocol::change_user::ChangeUser;
use protocol::connection_phase::{AuthSwitchRequest, HandshakeResponse41, HandshakeV10};
use protocol::packet::put_payload;
use protocol::prepared_statement::{StmtExecute, StmtPrepareOk};
use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::resultset::{
    BinaryRow, ColumnCount, ColumnDefinition41, ColumnFlags, ColumnType, TextRow, Value, collation,
};
use protocol::{Capabilities, Command, StatusFlags};
use testkit::Random;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::session_state::{SERVER_CHARACTER_SET, SessionState};
use super::wire::{Delivery, Lost, Wire};
use super::world::{Fault, READ_TIMEOUT, WRITE_TIMEOUT, World};

/// What both sides know.
pub(super) const CAPABILITIES: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::DEPRECATE_EOF);

/// How a server as a whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Fine,
    /// Nobody listens.
    Down,
    /// Takes connections and does not greet.
    Silent,
}

#[derive(Debug)]
pub(super) struct Server {
    index: usize,
    path: PathBuf,
    weather: Mutex<Weather>,
    /// When a connection could last not be made.
    troubled: Mutex<Option<Instant>>,
    changed: Notify,
    killed: Notify,
    connections: AtomicUsize,
}

impl Server {
    pub(super) fn new(index: usize, path: PathBuf) -> Self {
        Self {
            index,
            path,
            weather: Mutex::new(Weather::Fine),
            troubled: Mutex::default(),
            changed: Notify::new(),
            killed: Notify::new(),
            connections: AtomicUsize::new(0),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("s{}", self.index)
    }

    pub(super) fn address(&self) -> backend::Address {
        let path = self.path.to_str().expect("UTF-8");
        path.parse().expect("a path is an address")
    }

    pub(super) fn set_weather(&self, world: &World, weather: Weather) {
        let before = std::mem::replace(&mut *self.weather.lock().unwrap(), weather);
        if before != weather {
            world.harm(&format!("{} is {weather:?}", self.name()));
            self.note_trouble();
            self.changed.notify_one();
        }
    }

    /// All its connections end.
    pub(super) fn kill_all(&self, world: &World) {
        world.harm(&format!("{} kills its sessions", self.name()));
        self.killed.notify_waiters();
    }

    /// How long connections could be made.
    pub(super) fn fine_for(&self) -> Duration {
        let troubled = *self.troubled.lock().unwrap();
        match *self.weather.lock().unwrap() {
            Weather::Fine => troubled.map_or(Duration::MAX, |at| at.elapsed()),
            Weather::Down | Weather::Silent => Duration::ZERO,
        }
    }

    fn note_trouble(&self) {
        *self.troubled.lock().unwrap() = Some(Instant::now());
    }

    /// As the proxy has it, if it has it.
    pub(super) fn backend(&self, world: &World) -> Option<Arc<Backend>> {
        let path = self.address().to_string();
        let all = world.live.backends.all();
        let same = |backend: &&Arc<Backend>| backend.address().to_string() == path;
        all.iter().find(same).cloned()
    }

    /// For ever.
    pub(super) async fn run(self: Arc<Self>, world: Arc<World>) {
        loop {
            if *self.weather.lock().unwrap() == Weather::Down {
                self.changed.notified().await;
                continue;
            }
            let listener = UnixListener::bind(&self.path).expect("nobody else is there");
            while *self.weather.lock().unwrap() != Weather::Down {
                tokio::select! {
                    biased;
                    () = self.changed.notified() => {}
                    accepted = listener.accept() => {
                        let (stream, _) = accepted.expect("there are files left");
                        let number = self.connections.fetch_add(1, Ordering::Relaxed);
                        let world = Arc::clone(&world);
                        tokio::spawn(serve(Arc::clone(&self), world, stream, number));
                    }
                }
            }
            drop(listener);
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Counts a connection until it is dropped.
struct Open<'a>(&'a World);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(server: Arc<Server>, world: Arc<World>, stream: UnixStream, number: usize) {
    world.connections.fetch_add(1, Ordering::Relaxed);
    let _open = Open(&world);
    let name = format!("{}/{number}", server.name());
    let mut connection = Connection {
        random: world.random(1000 * (1 + server.index) + number),
        unwanted: unwanted(&server, &world),
        server: &server,
        world: &world,
        name,
        wire: Wire::new(stream),
        state: SessionState::default(),
        capabilities: CAPABILITIES,
        statements: BTreeMap::new(),
        is_greeting: true,
        has_harmed: false,
        has_more: false,
        is_sending: false,
    };
    let end = tokio::select! {
        biased;
        () = server.killed.notified() => None,
        end = connection.run() => Some(end),
    };
    let say = match end {
        None if !connection.is_sending && connection.random.one_in(2) => {
            let words = err(1927, "Connection was killed");
            let mut bytes = Vec::new();
            put_payload(&mut bytes, 1, &words);
            let _ = connection.wire.stream.try_write(&bytes);
            "killed, and says so".to_owned()
        }
        None => "killed".to_owned(),
        Some(end) => format!("{end:?}"),
    };
    connection.note(&format!("ends: {say}"));
}

/// Why no client should be sent here now.
fn unwanted(server: &Server, world: &World) -> Option<String> {
    let backend = server.backend(world)?;
    match (backend.health(), backend.availability()) {
        (Health::Down { since, reason }, _) if since < Instant::now() => {
            Some(format!("down: {reason}"))
        }
        (
            _,
            availability @ (Availability::OutOfService
            | Availability::Draining
            | Availability::Leaving
            | Availability::Removed),
        ) => Some(availability.to_string()),
        _ => None,
    }
}

struct Connection<'a> {
    server: &'a Server,
    world: &'a World,
    name: String,
    random: Random,
    wire: Wire,
    state: SessionState,
    capabilities: Capabilities,
    statements: BTreeMap<u32, String>,
    /// Why nobody but a probe should be here.
    unwanted: Option<String>,
    is_greeting: bool,
    has_harmed: bool,
    /// Another result follows.
    has_more: bool,
    /// Within a response.
    is_sending: bool,
}

/// A statement has, and none follows it.
struct Failed;

/// The packets of one response.
struct Response {
    bytes: Vec<u8>,
    sequence_id: u8,
}

impl Response {
    fn put(&mut self, payload: &[u8]) {
        self.sequence_id = put_payload(&mut self.bytes, self.sequence_id, payload);
    }
}

impl Connection<'_> {
    fn note(&self, what: &str) {
        self.world.trace.note(format_args!("{} {what}", self.name));
    }

    fn harm(&mut self, what: &str) {
        self.has_harmed = true;
        self.world.harm(&format!("{} {what}", self.name));
        if self.is_greeting {
            self.server.note_trouble();
        }
    }

    /// The plan wants this fault, here and now.
    fn strikes(&mut self, fault: Fault) -> bool {
        self.world.plan.has(fault) && self.random.one_in(self.world.plan.rarity)
    }

    async fn run(&mut self) -> Result<(), Lost> {
        self.note("accepted");
        if *self.server.weather.lock().unwrap() == Weather::Silent {
            self.wire.until_closed().await;
            return Ok(());
        }
        if self.strikes(Fault::TooMany) {
            self.world.harm(&format!("{} has too many", self.name));
            return self.reply(0, &err(1040, "Too many connections")).await;
        }
        let nonce = self.greet().await?;
        self.is_greeting = false;
        self.log_in(nonce).await?;
        loop {
            let (sequence_id, payload) = self.wire.packet().await?;
            // Behind what it should not have said, it is left as if it were amid a login.
            if sequence_id != 0 && !self.has_harmed {
                self.world.trace.wrong(format_args!(
                    "{} got a command of sequence id {sequence_id}",
                    self.name
                ));
            }
            if payload == [Command::QUIT.0] {
                return Ok(());
            }
            self.command(&payload).await?;
            if self.strikes(Fault::Unasked) {
                self.harm("says why it closes");
                let words = err(4031, "The client was disconnected by the server");
                let mut bytes = Vec::new();
                put_payload(&mut bytes, 1, &words);
                self.wire.send(&bytes).await?;
                if self.random.one_in(2) {
                    // What it said may have been taken for an answer.
                    sleep(Duration::from_millis(self.random.below(3000) as u64)).await;
                    self.harm("closes");
                }
                return Ok(());
            }
        }
    }

    fn nonce(&mut self) -> Vec<u8> {
        (0..20).map(|_| 33 + self.random.below(90) as u8).collect()
    }

    async fn greet(&mut self) -> Result<Vec<u8>, Lost> {
        let nonce = self.nonce();
        let greeting = HandshakeV10 {
            server_version: match self.world.plan.is_mariadb {
                true => b"5.5.5-10.11.6-MariaDB".to_vec(),
                false => b"9.7.0".to_vec(),
            },
            thread_id: self.world.number() as u32,
            auth_plugin_data: nonce.clone(),
            capabilities: CAPABILITIES,
            character_set: SERVER_CHARACTER_SET as u8,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin_name: MYSQL_NATIVE_PASSWORD.to_vec(),
        };
        let mut payload = Vec::new();
        greeting.encode(&mut payload);
        self.reply(0, &payload).await?;
        Ok(nonce)
    }

    async fn log_in(&mut self, mut nonce: Vec<u8>) -> Result<(), Lost> {
        let (mut sequence_id, payload) = self.wire.packet().await?;
        let Ok(login) = HandshakeResponse41::decode(&payload) else {
            return self.refuse(sequence_id, 1043, "Bad handshake").await;
        };
        let user = String::from_utf8_lossy(&login.username).into_owned();
        self.note(&format!("login of {user}"));
        self.capabilities = CAPABILITIES & login.capabilities;
        if user == "mysql-proxy-no-login" {
            return self.refuse(sequence_id, 1045, "Access denied").await;
        }
        if let Some(why) = &self.unwanted {
            self.world
                .trace
                .wrong(format_args!("{} got {user} while it was {why}", self.name));
        }
        let mut answer = login.auth_response;
        if login.auth_plugin_name != MYSQL_NATIVE_PASSWORD || self.random.one_in(4) {
            (nonce, sequence_id, answer) = self.ask_again(sequence_id).await?;
        }
        let state = SessionState::login(
            &user,
            &String::from_utf8_lossy(&login.database),
            login.character_set.into(),
        );
        self.admit(sequence_id, state, (&nonce, &answer)).await
    }

    async fn ask_again(&mut self, sequence_id: u8) -> Result<(Vec<u8>, u8, Vec<u8>), Lost> {
        let nonce = self.nonce();
        let mut payload = Vec::new();
        AuthSwitchRequest {
            plugin_name: MYSQL_NATIVE_PASSWORD,
            plugin_data: &nonce,
        }
        .encode(&mut payload);
        self.reply(sequence_id.wrapping_add(1), &payload).await?;
        let (sequence_id, answer) = self.wire.packet().await?;
        Ok((nonce, sequence_id, answer))
    }

    async fn admit(
        &mut self,
        sequence_id: u8,
        state: SessionState,
        (nonce, answer): (&[u8], &[u8]),
    ) -> Result<(), Lost> {
        let is_right = mysql_native_password::verify(state.user.as_bytes(), nonce, answer);
        if !is_right {
            return self.refuse(sequence_id, 1045, "Access denied").await;
        }
        if self.strikes(Fault::Denied) {
            self.harm("refuses a login");
            return self.refuse(sequence_id, 1045, "Access denied").await;
        }
        self.state = state;
        self.has_more = false;
        let ok = self.ok(0);
        self.reply(sequence_id.wrapping_add(1), &ok).await
    }

    async fn refuse(&mut self, sequence_id: u8, code: u16, message: &str) -> Result<(), Lost> {
        self.reply(sequence_id.wrapping_add(1), &err(code, message))
            .await?;
        Err(Lost::Cut)
    }

    async fn command(&mut self, payload: &[u8]) -> Result<(), Lost> {
        let command = Command(payload.first().copied().unwrap_or_default());
        let text = self.text(command, payload);
        let shown = text.get(..text.len().min(60)).unwrap_or_default();
        self.note(&format!("{command} {shown:?}"));
        self.has_more = false;
        let mut response = Response {
            bytes: Vec::new(),
            sequence_id: 1,
        };
        // A server that does not know a collation is no reason for the proxy to give up: there it may fail.
        let may_fail = command != Command::STMT_CLOSE
            && command != Command::CHANGE_USER
            && !text.starts_with("SET collation_connection");
        if may_fail && self.strikes(Fault::Error) {
            self.harm("fails on purpose");
            response.put(&err(1205, &format!("simulated {shown}")));
            return self.send(&response.bytes).await;
        }
        match command {
            Command::QUERY => self.query(&text, &mut response),
            Command::PING => response.put(&self.ok(0)),
            Command::INIT_DB => {
                self.state.database = text;
                response.put(&self.ok(0));
            }
            Command::RESET_CONNECTION => {
                self.state.reset(self.world.plan.is_mariadb);
                self.statements.clear();
                response.put(&self.ok(0));
            }
            Command::CHANGE_USER => return self.change_user(payload).await,
            Command::STMT_PREPARE => self.prepare(&text, &mut response),
            Command::STMT_EXECUTE if text.is_empty() => {
                response.put(&err(1243, "Unknown prepared statement handler"));
            }
            Command::STMT_EXECUTE => {
                let _ = self.rows(&text, true, &mut response);
            }
            Command::STMT_CLOSE => {
                if let Ok(id) = <[u8; 4]>::try_from(&payload[1..]) {
                    self.statements.remove(&u32::from_le_bytes(id));
                }
                return Ok(());
            }
            _ => response.put(&err(1047, "Unknown command")),
        }
        self.send(&response.bytes).await
    }

    /// Behind the command; of an execution, the statement.
    fn text(&self, command: Command, payload: &[u8]) -> String {
        if command == Command::STMT_EXECUTE {
            let id = StmtExecute::decode_statement_id(payload).unwrap_or_default();
            return self.statements.get(&id).cloned().unwrap_or_default();
        }
        String::from_utf8_lossy(payload.get(1..).unwrap_or_default()).into_owned()
    }

    async fn change_user(&mut self, payload: &[u8]) -> Result<(), Lost> {
        let Ok(change) = ChangeUser::decode(payload, self.capabilities) else {
            return self.refuse(0, 1043, "Bad handshake").await;
        };
        let user = String::from_utf8_lossy(change.username).into_owned();
        let database = String::from_utf8_lossy(change.database).into_owned();
        self.note(&format!("changes to {user}"));
        let character_set = change.character_set.unwrap_or(SERVER_CHARACTER_SET);
        let state = SessionState::login(&user, &database, character_set);
        self.statements.clear();
        let (nonce, sequence_id, answer) = self.ask_again(0).await?;
        self.admit(sequence_id, state, (&nonce, &answer)).await
    }

    fn query(&mut self, text: &str, response: &mut Response) {
        let mut statements = text.split("; ").peekable();
        while let Some(sql) = statements.next() {
            self.has_more = statements.peek().is_some();
            self.state.apply(sql);
            if sql.starts_with("SELECT") {
                match self.rows(sql, false, response) {
                    Ok(()) => continue,
                    Err(Failed) => return,
                }
            }
            let mut insert_id = 0;
            if sql.starts_with("INSERT") {
                insert_id = self.world.number();
                self.state.insert_id = insert_id;
            }
            response.put(&self.ok(insert_id));
        }
    }

    fn prepare(&mut self, sql: &str, response: &mut Response) {
        let statement_id = self.world.number() as u32;
        self.statements.insert(statement_id, sql.to_owned());
        let mut payload = Vec::new();
        StmtPrepareOk {
            statement_id,
            columns: 3,
            parameters: 0,
            warnings: 0,
        }
        .encode(&mut payload);
        response.put(&payload);
        self.definitions(response);
    }

    fn definitions(&self, response: &mut Response) {
        for name in ["tag", "number", "session"] {
            let mut payload = Vec::new();
            column(name).encode(&mut payload);
            response.put(&payload);
        }
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            response.put(&self.eof());
        }
    }

    fn rows(&mut self, sql: &str, is_binary: bool, response: &mut Response) -> Result<(), Failed> {
        let mut payload = Vec::new();
        ColumnCount::new(3).encode(self.capabilities, &mut payload);
        response.put(&payload);
        self.definitions(response);
        for row in self.state.rows(sql) {
            let mut payload = Vec::new();
            match is_binary {
                true => {
                    let values = row
                        .iter()
                        .map(|value| (ColumnType::VAR_STRING, Value::Bytes(value.as_bytes())));
                    let values: Vec<_> = values.collect();
                    BinaryRow::encode(&values, &mut payload).expect("texts");
                }
                false => {
                    TextRow::encode(row.iter().map(|value| Some(value.as_bytes())), &mut payload)
                }
            }
            response.put(&payload);
        }
        if self.strikes(Fault::Error) {
            self.harm("fails amid its rows");
            let shown = sql.get(..sql.len().min(60)).unwrap_or_default();
            response.put(&err(1205, &format!("simulated {shown}")));
            return Err(Failed);
        }
        response.put(&self.eof());
        Ok(())
    }

    /// Behind rows or definitions.
    fn eof(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        let status = self.status();
        match self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            true => OkPacket {
                status,
                ..OkPacket::default()
            }
            .encode(OkPacket::HEADER_AFTER_ROWS, self.capabilities, &mut payload),
            false => EofPacket {
                warnings: 0,
                status,
            }
            .encode(&mut payload),
        }
        payload
    }

    fn status(&self) -> StatusFlags {
        let mut status = StatusFlags::AUTOCOMMIT;
        status.set(StatusFlags::IN_TRANS, self.state.transaction.is_some());
        status.set(StatusFlags::MORE_RESULTS_EXISTS, self.has_more);
        status
    }

    fn ok(&self, last_insert_id: u64) -> Vec<u8> {
        let ok = OkPacket {
            last_insert_id,
            status: self.status(),
            ..OkPacket::default()
        };
        let mut payload = Vec::new();
        ok.encode(OkPacket::HEADER, self.capabilities, &mut payload);
        payload
    }

    async fn reply(&mut self, sequence_id: u8, payload: &[u8]) -> Result<(), Lost> {
        let mut bytes = Vec::new();
        put_payload(&mut bytes, sequence_id, payload);
        self.send(&bytes).await
    }

    /// What is decided while nobody has greeted is easily missed.
    fn is_slow_to_greet(&mut self) -> bool {
        self.is_greeting && self.world.plan.has(Fault::Pause) && self.random.one_in(4)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        // Behind a first packet that the client gets, or before.
        let at = self.random.below(bytes.len());
        let mut delivery = match self.random.one_in(6) {
            true => Delivery::Pieces,
            false => Delivery::Whole,
        };
        if self.strikes(Fault::Cut) {
            delivery = Delivery::Cut(at);
        } else if self.strikes(Fault::Pause) || self.is_slow_to_greet() {
            let seconds = match self.random.one_in(4) {
                true => READ_TIMEOUT.as_secs() as usize + self.random.below(30),
                false => self.random.below(20),
            };
            delivery = Delivery::Pause(at, Duration::from_secs(seconds as u64));
        } else if self.strikes(Fault::Stuck) {
            delivery = Delivery::Stuck(at);
        } else if self.strikes(Fault::Deaf) {
            delivery = Delivery::Deaf(at, READ_TIMEOUT + WRITE_TIMEOUT + Duration::from_secs(20));
        } else if self.strikes(Fault::Malformed) {
            self.harm("says nonsense");
            self.wire
                .send(&[0xab, 0, 0, self.random.below(256) as u8, 0xcd])
                .await?;
            sleep(Duration::from_secs(1)).await;
        }
        if !matches!(delivery, Delivery::Whole | Delivery::Pieces) {
            self.harm(&format!("{delivery:?}"));
        }
        self.is_sending = true;
        self.wire.deliver(bytes, delivery, &mut self.random).await?;
        self.is_sending = false;
        Ok(())
    }
}

fn err(code: u16, message: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    ErrPacket::new(code, ErrPacket::GENERAL_ERROR, message).encode(&mut payload);
    payload
}

fn column(name: &str) -> ColumnDefinition41 {
    ColumnDefinition41 {
        schema: Vec::new(),
        table: Vec::new(),
        org_table: Vec::new(),
        name: name.into(),
        org_name: Vec::new(),
        character_set: collation::UTF8MB4_GENERAL_CI,
        column_length: 1 << 16,
        column_type: ColumnType::VAR_STRING,
        flags: ColumnFlags::empty(),
        decimals: 0,
    }
}
