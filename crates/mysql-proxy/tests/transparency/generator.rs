//! Sessions of a seed: the same seed, the same session. What servers would answer differently the second time (clocks,
//! random numbers, other databases, statistics) is not asked for.

use std::collections::HashMap;

use fastrand::Rng;
use protocol::{Capabilities, Command};

use crate::parameters;
use crate::routes::USERS;
use crate::session::{Attribute, By, Ending, LoginChoice, Parameter, Say, Session, Step, Text};
use crate::statements::{self, Statements};

const STEPS_MAX: usize = 14;
/// Slots for prepared statements.
const SLOTS: u8 = 3;
const READ_ONLY_CURSOR: u8 = 1;

/// Flags that change what is said, one by one.
const OPTIONAL: [Capabilities; 9] = [
    Capabilities::SESSION_TRACK,
    Capabilities::QUERY_ATTRIBUTES,
    Capabilities::OPTIONAL_RESULTSET_METADATA,
    Capabilities::FOUND_ROWS,
    Capabilities::LOCAL_FILES,
    Capabilities::INTERACTIVE,
    Capabilities::IGNORE_SPACE,
    Capabilities::NO_SCHEMA,
    Capabilities::CONNECT_ATTRS,
];
/// Those that ordinary clients have, and some do not.
const ORDINARY: [Capabilities; 5] = [
    Capabilities::DEPRECATE_EOF,
    Capabilities::MULTI_STATEMENTS,
    Capabilities::MULTI_RESULTS,
    Capabilities::PS_MULTI_RESULTS,
    Capabilities::TRANSACTIONS,
];
const MARIADBS_OWN: [Capabilities; 4] = [
    Capabilities::MARIADB_STMT_BULK_OPERATIONS,
    Capabilities::MARIADB_EXTENDED_METADATA,
    Capabilities::MARIADB_CACHE_METADATA,
    Capabilities::MARIADB_BULK_UNIT_RESULTS,
];
/// latin1, utf8mb3, binary, utf8mb4 with two collations
const CHARACTER_SETS: [u16; 5] = [8, 33, 63, 45, 224];

/// The session of this seed.
pub(crate) fn session(seed: u64, is_mariadb: bool) -> Session {
    let mut generator = Generator {
        random: Rng::with_seed(seed),
        is_mariadb,
        bound: HashMap::new(),
        cursors: HashMap::new(),
    };
    let login = generator.login();
    let steps = 1 + generator.random.usize(..STEPS_MAX);
    Session {
        login,
        steps: (0..steps).map(|_| generator.step()).collect(),
        ending: generator.ending(),
    }
}

struct Generator {
    random: Rng,
    is_mariadb: bool,
    /// The parameters of the last execution in each slot.
    bound: HashMap<u8, Vec<Parameter>>,
    /// Whether the executions in each slot ask for one.
    cursors: HashMap<u8, u8>,
}

impl Generator {
    fn one_in(&mut self, bound: usize) -> bool {
        self.random.usize(..bound) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    fn login(&mut self) -> LoginChoice {
        let mut with = Capabilities::empty();
        let mut without = Capabilities::empty();
        for flag in OPTIONAL {
            if self.random.bool() {
                with |= flag;
            }
        }
        for flag in ORDINARY {
            if self.one_in(4) {
                without |= flag;
            }
        }
        if self.is_mariadb && self.random.bool() {
            without |= Capabilities::LONG_PASSWORD;
            for flag in MARIADBS_OWN {
                if self.random.bool() {
                    with |= flag;
                }
            }
        }
        // They are for use by everyone.
        with &= !(Capabilities::NO_SCHEMA
            & Capabilities::from_bits_retain(u64::from(self.random.bool()) << 4));
        LoginChoice {
            user: USERS[0],
            has_right_password: !self.one_in(50),
            has_database: !self.one_in(8),
            with,
            without,
            character_set: self.pick(&CHARACTER_SETS),
        }
    }

    fn ending(&mut self) -> Ending {
        match self.random.usize(..10) {
            0 => Ending::HalfClose,
            // MySQL 9 has no COM_PROCESS_KILL any more.
            1 if self.is_mariadb => {
                Ending::Kill(self.pick(&[By::Function, By::Number, By::Command]))
            }
            1 => Ending::Kill(self.pick(&[By::Function, By::Number])),
            _ => Ending::Quit,
        }
    }

    fn step(&mut self) -> Step {
        match self.random.usize(..40) {
            0 => Step::ChangeUser(LoginChoice {
                user: self.pick(&USERS),
                ..self.login()
            }),
            1 | 2 => self.load_data(),
            3..=9 => {
                let more = 1 + self.random.usize(..4);
                self.commands(more)
            }
            _ => self.commands(0),
        }
    }

    /// One, and so many more behind it, which do not know yet the number of a statement that the first one prepares.
    fn commands(&mut self, more: usize) -> Step {
        let mut commands = vec![self.say()];
        let more = (0..more).map(|_| self.say());
        commands.extend(more.filter(|say| !matches!(say, Say::Prepare { .. })));
        if let Say::Prepare { slot, sql } = &commands[0] {
            self.bound.remove(slot);
            self.cursors.remove(slot);
            // MariaDB 10.11 dies of a cursor for these.
            if self.is_mariadb && sql.contains("RETURNING") {
                self.cursors.insert(*slot, 0);
            }
        }
        Step::Commands(commands)
    }

    fn load_data(&mut self) -> Step {
        let mut file = Vec::new();
        for n in 0..self.random.usize(..60) {
            let line = match self.random.usize(..6) {
                0 => format!("{n},too long for its column,{n}\n"),
                1 => format!("{n},not,a number\n"),
                2 => format!("{n}\n"),
                3 => "1,twice,1\n".to_owned(),
                _ => format!("{},row,{n}\n", 100 + n),
            };
            file.extend_from_slice(line.as_bytes());
        }
        if self.one_in(20) {
            let lines = (0..40_000).map(|n| format!("{},line {n},{n}\n", 1000 + n));
            file.extend(lines.collect::<String>().bytes());
        }
        let table = if self.one_in(8) { "no_such_table" } else { "t" };
        let what = self.pick(&["", "IGNORE", "REPLACE"]);
        let behind = self.pick(&["", "", "; SELECT COUNT(*) FROM t", "; SELEKT"]);
        Step::LoadData {
            sql: format!(
                "LOAD DATA LOCAL INFILE 'file' {what} INTO TABLE {table} FIELDS TERMINATED BY ',' (id, a, b){behind}"
            ),
            file: Text(file),
            piece_bytes: self.pick(&[1, 7, 100, 16 * 1024, 1 << 20]),
        }
    }

    fn say(&mut self) -> Say {
        match self.random.usize(..100) {
            0..=44 => self.query(),
            45..=78 => self.on_statement(),
            79..=95 => self.command(),
            96 => Say::KillQuery(self.pick(&[By::Function, By::Number])),
            _ => self.unknown_command(),
        }
    }

    fn query(&mut self) -> Say {
        let sql = if self.one_in(250) {
            statements::long(&mut self.random)
        } else {
            Statements::new(&mut self.random, self.is_mariadb)
                .text()
                .into()
        };
        let attributes = self.attributes();
        Say::Query(sql, attributes)
    }

    fn on_statement(&mut self) -> Say {
        let slot = self.random.u8(..SLOTS);
        match self.random.usize(..40) {
            0..=13 => Say::Prepare {
                slot,
                sql: Statements::new(&mut self.random, self.is_mariadb).prepared(),
            },
            14..=26 => self.execute(slot),
            27..=30 => Say::Fetch {
                slot,
                rows: self.pick(&[0, 1, 2, 5, 1000]),
            },
            31..=33 => self.long_data(slot),
            34 | 35 => Say::OnStatement(Command::STMT_RESET, slot),
            36 | 37 => Say::OnStatement(Command::STMT_CLOSE, slot),
            _ if self.is_mariadb => Say::BulkExecute {
                slot,
                rows: parameters::bulk(&mut self.random).into(),
            },
            _ => self.execute(slot),
        }
    }

    fn execute(&mut self, slot: u8) -> Say {
        // Statements of the generator have at most three parameters.
        let count = self.pick(&[0, 1, 1, 2, 2, 3]);
        // Types are left out where they are those of the last execution.
        let is_rebound = self.one_in(8);
        let parameters = match self.bound.get(&slot) {
            Some(last) if is_rebound => last.clone(),
            _ => self.parameters(count),
        };
        let is_rebound = is_rebound && self.bound.contains_key(&slot);
        self.bound.insert(slot, parameters.clone());
        Say::Execute {
            slot,
            cursor: self.cursor(slot),
            parameters,
            attributes: match is_rebound {
                true => Vec::new(),
                false => self.attributes(),
            },
            is_rebound,
        }
    }

    /// MySQL 9.7 sends no rows where a statement that had a cursor is executed without: each one has it always or never.
    fn cursor(&mut self, slot: u8) -> u8 {
        let cursor = if self.one_in(3) { READ_ONLY_CURSOR } else { 0 };
        match self.is_mariadb {
            true => self.cursors.get(&slot).copied().unwrap_or(cursor),
            false => *self.cursors.entry(slot).or_insert(cursor),
        }
    }

    fn parameters(&mut self, count: usize) -> Vec<Parameter> {
        (0..count)
            .map(|_| parameters::parameter(&mut self.random))
            .collect()
    }

    fn attributes(&mut self) -> Vec<Attribute> {
        let count = self.pick(&[0, 0, 0, 0, 1, 3]);
        let names = ["", "traceparent", "n"];
        let values = self.parameters(count);
        names.into_iter().zip(values).collect()
    }

    fn long_data(&mut self, slot: u8) -> Say {
        let bytes = match self.random.usize(..60) {
            0 => statements::around(&mut self.random, 0xff_ffff - 7),
            1..=9 => self.random.usize(..100_000),
            _ => self.random.usize(..40),
        };
        Say::LongData {
            slot,
            parameter: self.pick(&[0, 0, 1, 9]),
            data: Text(vec![self.pick(b"l1\xfe\xff\0"); bytes]),
        }
    }

    fn command(&mut self) -> Say {
        let (command, arguments): (_, &[u8]) = self.pick(&[
            (Command::PING, b"".as_slice()),
            (Command::PING, b""),
            (Command::PING, b"and more"),
            (Command::RESET_CONNECTION, b""),
            (Command::RESET_CONNECTION, b""),
            (Command::INIT_DB, b"test"),
            (Command::INIT_DB, b"test"),
            (Command::INIT_DB, b"no_such_database"),
            (Command::INIT_DB, b"mysql"),
            (Command::INIT_DB, b""),
            (Command::STATISTICS, b""),
            (Command::FIELD_LIST, b"t\0"),
            (Command::FIELD_LIST, b"numbers\0"),
            (Command::FIELD_LIST, b"types\0%"),
            (Command::FIELD_LIST, b"t\0b"),
            (Command::FIELD_LIST, b"no_such_table\0"),
            (Command::FIELD_LIST, b""),
            (Command::SET_OPTION, &[0, 0]),
            (Command::SET_OPTION, &[1, 0]),
            (Command::SET_OPTION, &[1, 0]),
            (Command::SET_OPTION, &[7, 0]),
            (Command::DEBUG, b""),
            (Command::REFRESH, &[1]),
            (Command::PROCESS_KILL, &[0xff, 0xff, 0xff, 0x7f]),
        ]);
        Say::Command(command, arguments.into())
    }

    /// Known by name but no client's business, cut short, or known to nobody. MariaDB reads beyond the end of a command that is
    /// cut short: what it finds there is chance.
    fn unknown_command(&mut self) -> Say {
        let known = [
            Command::SLEEP,
            Command::CREATE_DB,
            Command::DROP_DB,
            Command::CONNECT,
            Command::TIME,
            Command::DELAYED_INSERT,
            Command::CONNECT_OUT,
            Command::DAEMON,
            Command::REGISTER_SLAVE,
            Command::STMT_PREPARE,
        ];
        let cut_short = [
            Command::PROCESS_KILL,
            Command::SET_OPTION,
            Command::STMT_EXECUTE,
            Command::STMT_RESET,
            Command::STMT_FETCH,
            Command::STMT_BULK_EXECUTE,
        ];
        let unknown = [0x22, 0x26, 0x7f, 0x80, 0xf9, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];
        match self.random.usize(..4) {
            0 if !self.is_mariadb => Say::Command(self.pick(&cut_short), Text::default()),
            0 | 1 => Say::Command(self.pick(&known), Text::default()),
            _ => Say::Command(Command(self.pick(&unknown)), b"?".into()),
        }
    }
}
