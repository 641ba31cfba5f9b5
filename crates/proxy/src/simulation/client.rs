//! A simulated client: it runs statements at random, and knows what each answer has to be.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backend::{Availability, Health, Role, Stream};
use protocol::auth::{MYSQL_NATIVE_PASSWORD, mysql_native_password};
use protocol::change_user::ChangeUser;
use protocol::connection_phase::{AuthPacket, HandshakeResponse41, HandshakeV10};
use protocol::packet::put_payload;
use protocol::prepared_statement::StmtPrepareOk;
use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::resultset::{BinaryRow, ColumnDefinition41, ColumnType, TextRow, Value};
use protocol::{Capabilities, Command, StatusFlags};
use testkit::Random;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::script::Script;
use super::server::{CAPABILITIES, Server};
use super::session_state::{SessionState, tag};
use super::wire::{Delivery, Lost, Wire};
use super::world::{Fault, READ_TIMEOUT, WRITE_TIMEOUT, World};
use crate::session;

/// Longer than anything that the proxy may wait for.
const PATIENCE: Duration = Duration::from_secs(600);
/// Wake-ups of a session. None has a hundredth of it.
const STEPS_MAX: u32 = 1_000_000;
/// From the end of a client to the end of its session: a server may be waited for, which then hears of it.
const SESSION_END: Duration = Duration::from_secs(400);
/// A server that could be connected to for so long is up, and everybody knows.
const RECOVERED: Duration = Duration::from_secs(30);
const USERS: [&str; 2] = ["ann", "bob"];
const DATABASES: [&str; 3] = ["", "shop", "wiki"];
const CHARACTER_SETS: [u8; 2] = [33, 45];

/// Why a client says no more.
#[derive(Debug)]
enum Stop {
    /// As the plan has it, or with an error that is right.
    Ended,
    /// That was noted.
    Wrong,
}

type Done = Result<(), Stop>;

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Ok {
        insert_id: u64,
        is_in_transaction: bool,
    },
    Rows(Vec<[String; 3]>),
    Prepared(u32),
    /// It was not run.
    Failed,
}

struct Client {
    world: Arc<World>,
    number: usize,
    random: Random,
    wire: Wire,
    capabilities: Capabilities,
    expected: SessionState,
    came: Instant,
    /// Harms that were done before it came, or while it had no connection to a server.
    harms: u64,
    is_in: bool,
    /// It may have a connection of its own.
    is_tied: bool,
    tags: usize,
    /// Another result follows the latest one, with this sequence id.
    has_more: bool,
    sequence_id: u8,
    /// It has said what no client should say, or nothing for too long.
    is_to_blame: bool,
}

/// From the connection to the end of its session.
pub(super) async fn run(world: Arc<World>, number: usize) {
    let mut random = world.random(number);
    sleep(Duration::from_millis(random.below(3000) as u64)).await;
    let (near, far) = UnixStream::pair().expect("there are files left");
    let context = world.live.context();
    let ticket = context.shutdown.ticket();
    let session = tokio::spawn(async move {
        in_some_steps(session::run(Stream::Unix(far), None, context, 0)).await;
        drop(ticket);
    });
    world.trace.note(format_args!("c{number} comes"));
    let mut client = Client {
        came: Instant::now(),
        harms: world.harms(),
        is_in: false,
        is_tied: false,
        world: Arc::clone(&world),
        number,
        random,
        wire: Wire::new(near),
        capabilities: Capabilities::empty(),
        expected: SessionState::default(),
        tags: 0,
        has_more: false,
        sequence_id: 0,
        is_to_blame: false,
    };
    let end = client.live().await;
    client.note(&format!("leaves: {end:?}"));
    drop(client);
    match timeout(SESSION_END, session).await {
        Ok(Ok(())) => world
            .trace
            .note(format_args!("c{number}'s session is over")),
        Ok(Err(panic)) => world
            .trace
            .wrong(format_args!("c{number}'s session: {panic}")),
        Err(_) => world
            .trace
            .wrong(format_args!("c{number}'s session does not end")),
    }
}

/// One that is woken without end is not waited for.
async fn in_some_steps(session: impl Future<Output = ()>) {
    let mut session = pin!(session);
    let mut steps = 0;
    poll_fn(|task| {
        steps += 1;
        assert!(steps < STEPS_MAX, "it makes steps without end");
        session.as_mut().poll(task)
    })
    .await;
}

impl Client {
    fn note(&self, what: &str) {
        self.world
            .trace
            .note(format_args!("c{} {what}", self.number));
    }

    fn wrong(&self, what: &str) -> Stop {
        self.world
            .trace
            .wrong(format_args!("c{}: {what}", self.number));
        Stop::Wrong
    }

    fn is_bad(&mut self, odds: usize) -> bool {
        self.world.plan.has(Fault::Clients) && self.random.one_in(odds)
    }

    /// Something was done that it may notice.
    fn is_harmed(&self) -> bool {
        let world = &self.world;
        let is_ill = |server: &Arc<Server>| server.fine_for() < RECOVERED;
        let may_be_ill = !self.is_in && world.servers.iter().any(is_ill);
        world.harms() > self.harms || world.is_draining() || may_be_ill
    }

    async fn live(&mut self) -> Done {
        if self.is_bad(12) {
            return Err(Stop::Ended);
        }
        self.log_in().await?;
        self.note("is in");
        let commands = 1 + self.random.below(self.world.plan.commands);
        for _ in 0..commands {
            if self.world.trace.is_over() {
                return Err(Stop::Ended);
            }
            if self.random.one_in(2) {
                let pause = self.random.below(900);
                sleep(Duration::from_millis(pause as u64)).await;
            }
            self.act().await?;
        }
        match self.world.plan.has(Fault::Clients) && self.random.one_in(2) {
            true => self.misbehave().await,
            false => self.leave().await,
        }
    }

    async fn log_in(&mut self) -> Done {
        let (_, greeting) = self.packet().await?;
        if greeting.first() == Some(&ErrPacket::HEADER) {
            return Err(self.ends_with(&greeting));
        }
        let greeting = HandshakeV10::decode(&greeting)
            .map_err(|error| self.wrong(&format!("greeting: {error}")))?;
        let user = USERS[self.random.below(USERS.len())];
        let database = DATABASES[self.random.below(DATABASES.len())];
        let character_set = CHARACTER_SETS[self.random.below(CHARACTER_SETS.len())];
        let mut capabilities = CAPABILITIES & greeting.capabilities;
        capabilities.set(Capabilities::CONNECT_WITH_DB, !database.is_empty());
        if self.random.one_in(3) {
            capabilities.remove(Capabilities::DEPRECATE_EOF);
        }
        let is_wrong = self.is_bad(12);
        let password = if is_wrong { "wrong" } else { user };
        let response = HandshakeResponse41 {
            capabilities,
            max_packet_bytes: 1 << 24,
            character_set,
            username: user.into(),
            auth_response: mysql_native_password::scramble(
                password.as_bytes(),
                &greeting.auth_plugin_data,
            ),
            database: database.into(),
            auth_plugin_name: MYSQL_NATIVE_PASSWORD.to_vec(),
            ..HandshakeResponse41::default()
        };
        let mut payload = Vec::new();
        response.encode(&mut payload);
        let mut bytes = Vec::new();
        put_payload(&mut bytes, 1, &payload);
        if self.is_bad(12) {
            let at = self.random.below(bytes.len() + 1);
            self.wire
                .send(&bytes[..at])
                .await
                .map_err(|lost| self.lost(lost))?;
            return self.vanish_or_wait().await;
        }
        self.is_to_blame = is_wrong;
        self.note(&format!("logs in as {user}, {database:?}"));
        self.send(&bytes).await?;
        self.capabilities = capabilities;
        self.authenticate(password).await?;
        self.is_to_blame = false;
        self.is_in = true;
        self.expected = SessionState::login(user, database, character_set.into());
        Ok(())
    }

    /// Up to the server's OK; false where it was not even asked.
    async fn authenticate(&mut self, password: &str) -> Result<bool, Stop> {
        loop {
            let (sequence_id, payload) = self.packet().await?;
            match AuthPacket::decode(&payload) {
                Ok(AuthPacket::Ok) => return Ok(true),
                Ok(AuthPacket::Err) => {
                    return match self.err(&payload, "COM_CHANGE_USER")? {
                        Answer::Failed => Ok(false),
                        other => Err(self.wrong(&format!("{other:?} to a login"))),
                    };
                }
                Ok(AuthPacket::SwitchRequest(request)) => {
                    let answer =
                        mysql_native_password::scramble(password.as_bytes(), request.plugin_data);
                    let mut bytes = Vec::new();
                    put_payload(&mut bytes, sequence_id.wrapping_add(1), &answer);
                    self.send(&bytes).await?;
                }
                other => return Err(self.unexpected(&format!("{other:?} in a login"))),
            }
        }
    }

    /// A connection that it does not have yet is a sound one, whatever happened to others before: for the script of which it
    /// is known when the client has one, and where nobody harms clients.
    fn forgive(&mut self) {
        let plan = &self.world.plan;
        let is_known = plan.script == Script::Sharing && !plan.has(Fault::Operator);
        if is_known && !self.is_tied && !self.expected.is_tied() && self.world.is_quiet() {
            self.harms = self.world.harms();
        }
    }

    /// Something at random, with its answer.
    async fn act(&mut self) -> Done {
        self.forgive();
        match self.random.below(22) {
            0..5 => self.select().await,
            5 => self.select_much().await,
            6 => self.pipeline().await,
            7 => self.set().await,
            8 => self.run("SET @v = 'TAG'").await,
            9 => self.use_database().await,
            10 | 11 => self.transaction().await,
            12 => self.insert().await,
            13 => self.last_insert_id().await,
            14 => self.simple(Command::PING, b"").await.map(drop),
            15 => self.reset().await,
            16 => self.change_user().await,
            17 | 18 => self.prepared().await,
            19 | 20 => self.several().await,
            _ => self.init_db().await,
        }
    }

    fn tag(&mut self, rows: usize, bytes: usize) -> String {
        self.tags += 1;
        tag(self.number, self.tags, rows, bytes)
    }

    fn select_sql(&mut self) -> String {
        let rows = self.random.below(4);
        let bytes = self.random.below(300);
        format!("SELECT '{}'", self.tag(rows, bytes))
    }

    async fn select(&mut self) -> Done {
        let sql = self.select_sql();
        self.run(&sql).await
    }

    /// More than fits anywhere.
    async fn select_much(&mut self) -> Done {
        let (rows, bytes) = match self.random.one_in(2) {
            true => (1 + self.random.below(400), 50),
            false => (2, self.random.below(400_000)),
        };
        let sql = format!("SELECT '{}'", self.tag(rows, bytes));
        self.run(&sql).await
    }

    /// Statements in one command.
    async fn several(&mut self) -> Done {
        let first = match self.random.one_in(2) {
            true => self.select_sql(),
            false => format!("SET lock_wait_timeout = {}", self.random.below(1000)),
        };
        let statements = [first, self.select_sql()];
        let text = statements.join("; ");
        let answer = self.ask(Command::QUERY, text.as_bytes(), &text).await?;
        if answer == Answer::Failed {
            return Ok(());
        }
        self.check(&statements[0], &answer)?;
        if !self.has_more {
            return Err(self.wrong("the second result is not there"));
        }
        let mut sequence_id = self.sequence_id;
        let answer = self.answer(&statements[1], false, &mut sequence_id).await?;
        self.check(&statements[1], &answer)
    }

    async fn pipeline(&mut self) -> Done {
        let statements: Vec<String> = (0..2 + self.random.below(3))
            .map(|_| self.select_sql())
            .collect();
        let mut bytes = Vec::new();
        for sql in &statements {
            put_payload(
                &mut bytes,
                0,
                &[&[Command::QUERY.0], sql.as_bytes()].concat(),
            );
        }
        self.note(&format!("pipelines {statements:?}"));
        self.send(&bytes).await?;
        for sql in &statements {
            let answer = self.answer(sql, false, &mut 1).await?;
            self.check(sql, &answer)?;
        }
        Ok(())
    }

    async fn set(&mut self) -> Done {
        let name = ["lock_wait_timeout", "net_read_timeout"][self.random.below(2)];
        let value = 1 + self.random.below(1000);
        let scope = ["", "SESSION "][self.random.below(2)];
        self.run(&format!("SET {scope}{name} = {value}")).await
    }

    async fn use_database(&mut self) -> Done {
        let database = DATABASES[1 + self.random.below(2)];
        self.run(&format!("USE {database}")).await
    }

    async fn transaction(&mut self) -> Done {
        let sql = match self.expected.transaction {
            None => "BEGIN /* 'TAG' */",
            Some(_) => ["COMMIT", "ROLLBACK"][self.random.below(2)],
        };
        self.run(sql).await
    }

    async fn insert(&mut self) -> Done {
        let padding = match self.random.one_in(4) {
            true => self.random.below(500_000),
            false => 0,
        };
        self.run(&format!(
            "INSERT INTO t VALUES ('TAG', '{}')",
            "x".repeat(padding)
        ))
        .await
    }

    async fn last_insert_id(&mut self) -> Done {
        self.run("SELECT 'TAG', LAST_INSERT_ID()").await
    }

    async fn reset(&mut self) -> Done {
        if self.simple(Command::RESET_CONNECTION, b"").await? != Answer::Failed {
            self.expected.reset(self.world.plan.is_mariadb);
        }
        Ok(())
    }

    async fn init_db(&mut self) -> Done {
        let database = DATABASES[1 + self.random.below(2)];
        if self.simple(Command::INIT_DB, database.as_bytes()).await? != Answer::Failed {
            self.expected.database = database.to_owned();
        }
        Ok(())
    }

    async fn change_user(&mut self) -> Done {
        let user = USERS[self.random.below(USERS.len())];
        let database = DATABASES[self.random.below(DATABASES.len())];
        let character_set = CHARACTER_SETS[self.random.below(2)].into();
        let mut payload = Vec::new();
        ChangeUser {
            username: user.as_bytes(),
            auth_response: b"",
            database: database.as_bytes(),
            character_set: Some(character_set),
            auth_plugin_name: MYSQL_NATIVE_PASSWORD,
            rest: b"",
        }
        .encode(self.capabilities, &mut payload);
        let mut bytes = Vec::new();
        put_payload(&mut bytes, 0, &payload);
        self.note(&format!("changes to {user}, {database:?}"));
        self.send(&bytes).await?;
        self.is_tied = true;
        if self.authenticate(user).await? {
            self.expected = SessionState::login(user, database, character_set);
        }
        self.select().await
    }

    async fn prepared(&mut self) -> Done {
        let sql = self.select_sql();
        let answer = self
            .ask(Command::STMT_PREPARE, sql.as_bytes(), &sql)
            .await?;
        let id = match answer {
            Answer::Prepared(id) => {
                self.is_tied = true;
                id
            }
            Answer::Failed => return Ok(()),
            other => return Err(self.wrong(&format!("{other:?} to a COM_STMT_PREPARE"))),
        };
        for _ in 0..self.random.below(3) {
            let body = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
            let answer = self.ask(Command::STMT_EXECUTE, &body, &sql).await?;
            self.check(&sql, &answer)?;
        }
        let mut bytes = Vec::new();
        put_payload(
            &mut bytes,
            0,
            &[&[Command::STMT_CLOSE.0], &id.to_le_bytes()[..]].concat(),
        );
        self.send(&bytes).await
    }

    /// A statement in which `TAG` stands for a tag, and its effect.
    async fn run(&mut self, sql: &str) -> Done {
        let sql = sql.replace("TAG", &self.tag(1, 0));
        let answer = self.ask(Command::QUERY, sql.as_bytes(), &sql).await?;
        self.check(&sql, &answer)
    }

    fn check(&mut self, sql: &str, answer: &Answer) -> Done {
        match answer {
            Answer::Failed => {}
            Answer::Prepared(_) => return Err(self.wrong("a statement that nobody prepared")),
            Answer::Rows(rows) => return self.check_rows(sql, rows),
            Answer::Ok {
                insert_id,
                is_in_transaction,
            } => {
                if sql.starts_with("SELECT") {
                    return Err(self.wrong("OK without rows"));
                }
                self.expected.apply(sql);
                if sql.starts_with("INSERT") {
                    self.expected.insert_id = *insert_id;
                }
                if *is_in_transaction != self.expected.transaction.is_some() {
                    return Err(self.wrong("the status of another transaction"));
                }
            }
        }
        Ok(())
    }

    fn check_rows(&self, sql: &str, rows: &[[String; 3]]) -> Done {
        if *rows == self.expected.rows(sql) {
            return Ok(());
        }
        // Where others had one, it is nobody's.
        let mut without = self.expected.clone();
        if without.database.is_empty() {
            without.database = "information_schema".to_owned();
        }
        if *rows == without.rows(sql) && self.world.plan.script.is_sharing() {
            return Ok(());
        }
        let short = |rows: &[[String; 3]]| {
            let first = rows.first().map(|row| row.join(" "));
            let first = first
                .unwrap_or_default()
                .chars()
                .take(300)
                .collect::<String>();
            format!("{} rows, {first}", rows.len())
        };
        let expected = self.expected.rows(sql);
        Err(self.wrong(&format!(
            "{sql}: got {}\ninstead of {}",
            short(rows),
            short(&expected)
        )))
    }

    /// A command that leaves nothing to check but its success.
    async fn simple(&mut self, command: Command, body: &[u8]) -> Result<Answer, Stop> {
        let text = String::from_utf8_lossy(body).into_owned();
        let answer = self.ask(command, body, &text).await?;
        match answer {
            Answer::Ok { .. } | Answer::Failed => Ok(answer),
            other => Err(self.wrong(&format!("{other:?} to {command}"))),
        }
    }

    async fn ask(&mut self, command: Command, body: &[u8], sql: &str) -> Result<Answer, Stop> {
        let mut bytes = Vec::new();
        put_payload(&mut bytes, 0, &[&[command.0], body].concat());
        self.note(&format!(
            "{command} {:?}",
            sql.get(..sql.len().min(60)).unwrap_or_default()
        ));
        self.send(&bytes).await?;
        let answer = match command {
            Command::STMT_PREPARE => self.preparation(sql).await?,
            _ => {
                let mut sequence_id = 1;
                let is_binary = command == Command::STMT_EXECUTE;
                let answer = self.answer(sql, is_binary, &mut sequence_id).await?;
                self.sequence_id = sequence_id;
                answer
            }
        };
        if let Answer::Rows(rows) = &answer {
            self.note(&format!("gets {} rows", rows.len()));
        } else {
            self.note(&format!("gets {answer:?}"));
        }
        // What ends a session may stand behind an answer, for the next one.
        if !self.wire.is_silent() && !self.has_more && !self.is_harmed() {
            return Err(self.wrong("more than an answer"));
        }
        Ok(answer)
    }

    async fn send(&mut self, bytes: &[u8]) -> Done {
        let at = self.random.below(bytes.len());
        let delivery = match self.random.below(12) {
            0 => Delivery::Pieces,
            1 => Delivery::Pause(at, Duration::from_millis(self.random.below(7000) as u64)),
            _ => Delivery::Whole,
        };
        let mut random = self.random.clone();
        match timeout(PATIENCE, self.wire.deliver(bytes, delivery, &mut random)).await {
            // What the proxy had to say is still there to read.
            Ok(_) => Ok(()),
            Err(_) => Err(self.wrong("the proxy does not listen")),
        }
    }

    async fn packet(&mut self) -> Result<(u8, Vec<u8>), Stop> {
        match timeout(PATIENCE, self.wire.packet()).await {
            Ok(Ok(packet)) => Ok(packet),
            Ok(Err(lost)) => Err(self.lost(lost)),
            Err(_) => Err(self.wrong("neither an answer nor a close")),
        }
    }

    /// A packet of a response.
    async fn next(&mut self, sequence_id: &mut u8) -> Result<Vec<u8>, Stop> {
        let (id, payload) = self.packet().await?;
        if id != *sequence_id {
            return Err(self.unexpected(&format!("sequence id {id} instead of {sequence_id}")));
        }
        *sequence_id = id.wrapping_add(1);
        Ok(payload)
    }

    async fn answer(
        &mut self,
        sql: &str,
        is_binary: bool,
        sequence_id: &mut u8,
    ) -> Result<Answer, Stop> {
        let first = self.next(sequence_id).await?;
        match first.first() {
            Some(&ErrPacket::HEADER) => return self.err(&first, sql),
            Some(&OkPacket::HEADER) => return self.ok(&first),
            Some(3) => {}
            _ => return Err(self.unexpected(&format!("{first:?}"))),
        }
        self.definitions(sequence_id).await?;
        let mut rows = Vec::new();
        loop {
            let row = self.next(sequence_id).await?;
            match row.first() {
                Some(&ErrPacket::HEADER) => return self.err(&row, sql),
                Some(0xfe) if row.len() < 100 => {
                    self.end_of_rows(&row)?;
                    return Ok(Answer::Rows(rows));
                }
                _ => rows.push(self.row(&row, is_binary)?),
            }
        }
    }

    fn end_of_rows(&mut self, payload: &[u8]) -> Done {
        let status = match self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            true => OkPacket::decode(payload).map(|ok| ok.status),
            false => EofPacket::decode(payload).map(|eof| eof.status),
        };
        let status = status.map_err(|error| self.unexpected(&error.to_string()))?;
        self.has_more = status.contains(StatusFlags::MORE_RESULTS_EXISTS);
        Ok(())
    }

    fn row(&self, payload: &[u8], is_binary: bool) -> Result<[String; 3], Stop> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let values: Vec<String> = match is_binary {
            true => BinaryRow::decode(payload, &[(ColumnType::VAR_STRING, false); 3])
                .map(|values| {
                    values
                        .iter()
                        .filter_map(|value| match value {
                            Value::Bytes(bytes) => Some(text(bytes)),
                            _ => None,
                        })
                        .collect()
                })
                .unwrap_or_default(),
            false => TextRow::decode(payload, 3)
                .map(|values| values.into_iter().flatten().map(text).collect())
                .unwrap_or_default(),
        };
        values
            .try_into()
            .map_err(|values| self.unexpected(&format!("a row of {values:?}")))
    }

    async fn definitions(&mut self, sequence_id: &mut u8) -> Done {
        for name in ["tag", "number", "session"] {
            let payload = self.next(sequence_id).await?;
            if payload.first() == Some(&ErrPacket::HEADER) {
                return Err(self.ends_with(&payload));
            }
            let definition = ColumnDefinition41::decode(&payload);
            if definition.map(|definition| definition.name) != Ok(name.into()) {
                return Err(self.unexpected("a definition of another column"));
            }
        }
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            let eof = self.next(sequence_id).await?;
            if eof.first() == Some(&ErrPacket::HEADER) {
                return Err(self.ends_with(&eof));
            }
            if eof.first() != Some(&0xfe) {
                return Err(self.unexpected(&format!("{eof:?} instead of EOF")));
            }
        }
        Ok(())
    }

    async fn preparation(&mut self, sql: &str) -> Result<Answer, Stop> {
        let mut sequence_id = 1;
        let first = self.next(&mut sequence_id).await?;
        if first.first() == Some(&ErrPacket::HEADER) {
            return self.err(&first, sql);
        }
        let Ok(prepared) = StmtPrepareOk::decode(&first) else {
            return Err(self.unexpected(&format!("{first:?}")));
        };
        self.definitions(&mut sequence_id).await?;
        Ok(Answer::Prepared(prepared.statement_id))
    }

    fn ok(&mut self, payload: &[u8]) -> Result<Answer, Stop> {
        let ok = OkPacket::decode(payload).map_err(|error| self.unexpected(&error.to_string()))?;
        self.has_more = ok.status.contains(StatusFlags::MORE_RESULTS_EXISTS);
        Ok(Answer::Ok {
            insert_id: ok.last_insert_id,
            is_in_transaction: ok.status.contains(StatusFlags::IN_TRANS),
        })
    }

    /// Whether it is one that may come. One behind which the session goes on is an answer.
    fn err(&mut self, payload: &[u8], sql: &str) -> Result<Answer, Stop> {
        self.has_more = false;
        let Ok(err) = ErrPacket::decode(payload) else {
            return Err(self.unexpected(&format!("{payload:?}")));
        };
        let text = err.message_lossy();
        let is_sharing = self.world.plan.script.is_sharing();
        let is_own =
            |statement: &str| statement.is_empty() == sql.is_empty() && sql.starts_with(statement);
        let goes_on = match err.code {
            1205 => {
                let statement = text.strip_prefix("simulated ");
                statement.is_some_and(is_own) && self.world.plan.has(Fault::Error)
            }
            1040 => is_sharing && text.starts_with("(proxy) no idle connection"),
            // Its user has no connection any more.
            _ if text.starts_with("(rw-splitting)") || text.starts_with("(ro-pooling)") => {
                self.note(&format!("is told {} {text}", err.code));
                return Err(Stop::Ended);
            }
            1105 if text.contains("its insert id") => is_sharing && sql.contains("LAST_INSERT_ID"),
            1105 if text.contains("cannot be moved") => is_sharing && self.is_harmed(),
            _ => return Err(self.ends_with(payload)),
        };
        match goes_on {
            true => {
                self.is_tied = true;
                self.note(&format!("is told {} {text}", err.code));
                Ok(Answer::Failed)
            }
            false => Err(self.unexpected(&format!("ERR {} {text}", err.code))),
        }
    }

    /// An ERR that ends the session.
    fn ends_with(&self, payload: &[u8]) -> Stop {
        let Ok(err) = ErrPacket::decode(payload) else {
            return self.unexpected(&format!("{payload:?}"));
        };
        let text = err.message_lossy();
        self.note(&format!("is told {} {text}", err.code));
        if text.contains("all backends are down") {
            return self.is_nobody_there();
        }
        match self.is_harmed() || self.is_to_blame {
            true => Stop::Ended,
            false => self.wrong(&format!("ERR {} {text} for no reason", err.code)),
        }
    }

    /// Where a server could be connected to for long enough before it came, it is not true: each is tried once.
    fn is_nobody_there(&self) -> Stop {
        let ready = self.world.servers.iter().find(|server| {
            let backend = server.backend(&self.world);
            backend.is_some_and(|backend| {
                backend.role() == Role::ReadWrite
                    && backend.availability() == Availability::InService
                    && server.fine_for() >= RECOVERED + self.came.elapsed()
            })
        });
        let reasons = self.world.live.backends.all();
        let has_reason =
            |health: Health| !matches!(health, Health::Down { reason, .. } if reason.is_empty());
        if !reasons.iter().all(|backend| has_reason(backend.health())) {
            return self.wrong("a backend is down for no reason");
        }
        match ready {
            Some(server) => self.wrong(&format!("{} is there", server.name())),
            None => Stop::Ended,
        }
    }

    fn lost(&self, lost: Lost) -> Stop {
        self.note(&format!("is {lost:?}"));
        match self.is_harmed() || self.is_to_blame {
            true => Stop::Ended,
            false => self.wrong("closed for no reason"),
        }
    }

    /// What a server says that is out of order may come through. What is another's may not.
    fn unexpected(&self, what: &str) -> Stop {
        let may_be = self.world.plan.has(Fault::Malformed) || self.world.plan.has(Fault::Unasked);
        match may_be && self.is_harmed() {
            true => {
                self.note(&format!("gets {what}"));
                Stop::Ended
            }
            false => self.wrong(what),
        }
    }

    /// As clients should.
    async fn leave(&mut self) -> Done {
        match self.random.below(3) {
            0 => Ok(()),
            1 => {
                let sql = self.select_sql();
                let mut bytes = Vec::new();
                put_payload(
                    &mut bytes,
                    0,
                    &[&[Command::QUERY.0], sql.as_bytes()].concat(),
                );
                self.note(&format!("half-closes behind {sql:?}"));
                self.send(&bytes).await?;
                let _ = self.wire.stream.shutdown().await;
                let answer = self.answer(&sql, false, &mut 1).await?;
                self.check(&sql, &answer)?;
                self.closed().await
            }
            _ => {
                self.send(&[1, 0, 0, 0, Command::QUIT.0]).await?;
                self.closed().await
            }
        }
    }

    /// Nothing comes but the end.
    async fn closed(&mut self) -> Done {
        self.is_to_blame = true;
        match self.packet().await {
            Err(stop) => Err(stop),
            // Of the script, to the goodbye.
            Ok((1, payload))
                if payload[0] == OkPacket::HEADER && self.world.plan.script.is_sharing() =>
            {
                Ok(())
            }
            Ok((_, payload)) if self.is_harmed() => Err(self.ends_with(&payload)),
            Ok(_) => Err(self.wrong("something behind the end")),
        }
    }

    async fn vanish_or_wait(&mut self) -> Done {
        self.is_to_blame = true;
        if self.random.one_in(2) {
            return Err(Stop::Ended);
        }
        self.note("says no more");
        loop {
            self.packet().await?;
        }
    }

    /// As clients should not, but do. Nobody else may notice.
    async fn misbehave(&mut self) -> Done {
        self.is_to_blame = true;
        let sql = format!("SELECT '{}'", self.tag(2, 700_000));
        let mut bytes = Vec::new();
        put_payload(
            &mut bytes,
            0,
            &[&[Command::QUERY.0], sql.as_bytes()].concat(),
        );
        match self.random.below(6) {
            0 => {
                self.note("vanishes amid a command");
                let at = self.random.below(bytes.len());
                let _ = self.wire.send(&bytes[..at]).await;
                Err(Stop::Ended)
            }
            1 => {
                self.note("vanishes without its answer");
                let _ = self.wire.send(&bytes).await;
                if self.random.one_in(2) {
                    let _ = self.packet().await?;
                }
                Err(Stop::Ended)
            }
            2 => {
                self.note("stops amid a command");
                let at = self.random.below(bytes.len());
                let _ = self.wire.send(&bytes[..at]).await;
                loop {
                    self.packet().await?;
                }
            }
            3 => {
                self.note("does not read");
                let _ = self.wire.send(&bytes).await;
                sleep(WRITE_TIMEOUT + READ_TIMEOUT + Duration::from_secs(60)).await;
                match self.answer(&sql, false, &mut 1).await? {
                    Answer::Failed => Err(Stop::Ended),
                    _ => Err(self.wrong("all came all the same")),
                }
            }
            4 => {
                self.note("is idle");
                loop {
                    self.packet().await?;
                }
            }
            _ => {
                self.note("says nonsense");
                let length = 1 + self.random.below(300);
                let bytes: Vec<u8> = (0..length).map(|_| self.random.below(256) as u8).collect();
                let _ = self.wire.send(&bytes).await;
                self.vanish_or_wait().await
            }
        }
    }
}
