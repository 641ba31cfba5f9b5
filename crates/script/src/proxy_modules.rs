//! The modules `proxy.*`: Lua of ours, part of the program. A file of the same name that `package.path` leads to is not
//! read: older installations have some, with known defects.

use mlua::{Lua, Result, Table};

use crate::api::{Field, Object};

/// A module that is written in Lua.
pub(crate) struct LuaModule {
    /// What scripts require.
    pub(crate) name: &'static str,
    source: &'static str,
    /// What it has.
    pub(crate) object: Object,
}

impl LuaModule {
    /// Runs the module, which sees the global variables and not those of a script.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn create(&self, lua: &Lua) -> Result<Table> {
        let chunk = lua.load(self.source).set_name(format!("={}", self.name));
        chunk.call(())
    }

    /// What it is called in `proxy`: `tokenizer` for `proxy.tokenizer`.
    pub(crate) fn key(&self) -> &'static str {
        self.name.trim_start_matches("proxy.")
    }
}

macro_rules! source {
    ($file:literal) => {
        include_str!(concat!("../../../lua/modules/proxy/", $file))
    };
}

/// In the order of the documentation.
pub(crate) const MODULES: &[LuaModule] = &[
    LuaModule {
        name: "proxy.commands",
        source: source!("commands.lua"),
        object: COMMANDS,
    },
    LuaModule {
        name: "proxy.tokenizer",
        source: source!("tokenizer.lua"),
        object: TOKENIZER,
    },
    LuaModule {
        name: "proxy.parser",
        source: source!("parser.lua"),
        object: PARSER,
    },
    LuaModule {
        name: "proxy.balance",
        source: source!("balance.lua"),
        object: BALANCE,
    },
    LuaModule {
        name: "proxy.auto-config",
        source: source!("auto-config.lua"),
        object: AUTO_CONFIG,
    },
    LuaModule {
        name: "proxy.sharing",
        source: source!("sharing.lua"),
        object: SHARING,
    },
    LuaModule {
        name: "proxy.toolkit",
        source: source!("toolkit.lua"),
        object: TOOLKIT,
    },
    LuaModule {
        name: "proxy.test",
        source: source!("test.lua"),
        object: TEST,
    },
];

const COMMANDS: Object = Object {
    path: "require(\"proxy.commands\")",
    class: "mysql_proxy.Commands",
    text: "A client's command as a table, and as text for a log.",
    fields: &[
        Field::read(
            "parse",
            "fun(packet: string): table",
            "`type`, `type_name`, and by command `query` (COM_QUERY, COM_STMT_PREPARE), `schema` (COM_INIT_DB, COM_CREATE_DB, \
             COM_DROP_DB), `table` (COM_FIELD_LIST), `option` (COM_SET_OPTION), `stmt_handler_id` (commands of a prepared \
             statement).",
        ),
        Field::read(
            "pretty_print",
            "fun(command: table): string",
            "`[COM_QUERY] SELECT 1`; `[COM_PING] ... no idea` where there is nothing to show.",
        ),
    ],
};

const TOKENIZER: Object = Object {
    path: "require(\"proxy.tokenizer\")",
    class: "mysql_proxy.ProxyTokenizer",
    text: "From SQL to tokens, to a text that queries of one kind have in common, and back to SQL.",
    fields: &[
        Field::read(
            "tokenize",
            "fun(sql: string): mysql_proxy.Token[]",
            "As in `mysql.tokenizer`.",
        ),
        Field::read(
            "normalize",
            "fun(tokens: mysql_proxy.Token[]): string",
            "Without values and comments, the same for all queries of a kind, with a space at the end: ``SELECT * FROM \
             `film` WHERE `id` = ? ``",
        ),
        Field::read(
            "first_stmt_token",
            "fun(tokens: mysql_proxy.Token[]): mysql_proxy.Token|nil",
            "The first one that is no comment.",
        ),
        Field::read(
            "bare_tokens",
            "fun(tokens: mysql_proxy.Token[], quotes_strings?: boolean): string[]",
            "The texts of all but comments; strings in double quotes if wanted.",
        ),
        Field::read(
            "tokens_without_comments",
            "fun(tokens: mysql_proxy.Token[]): string[]",
            "The texts of all but comments.",
        ),
        Field::read(
            "tokens_to_query",
            "fun(tokens: mysql_proxy.Token[], from?: integer, to?: integer): string",
            "SQL again, of all tokens or of those from one number to another: without comments, a space behind each token but \
             functions, strings in double quotes (which `ANSI_QUOTES` takes for names).",
        ),
    ],
};

const PARSER: Object = Object {
    path: "require(\"proxy.parser\")",
    class: "mysql_proxy.Parser",
    text: "Which tables a statement names. Sub-queries, views, triggers and routines are not looked into.",
    fields: &[
        Field::read(
            "get_tables",
            "fun(tokens: mysql_proxy.Token[]): table<string, \"read\"|\"write\">",
            "By `database.table`: of SELECT, INSERT, REPLACE, UPDATE, DELETE, TRUNCATE, and CREATE, DROP, ALTER and RENAME \
             TABLE. All tables of an UPDATE or a DELETE count as written.",
        ),
        Field::read(
            "tablename_expand",
            "fun(table: string, database?: string): string",
            "`database.table`, with the client's default database where none is given; it may be empty.",
        ),
    ],
};

const BALANCE: Object = Object {
    path: "require(\"proxy.balance\")",
    class: "mysql_proxy.Balance",
    text: "Which backend has an idle connection for the client's user. For hooks from `read_auth` on.",
    fields: &[
        Field::read(
            "idle_failsafe_rw",
            "fun(): integer",
            "The first primary that is not down and has one; 0 for none.",
        ),
        Field::read(
            "idle_ro",
            "fun(): integer",
            "Of the replicas that are not down and have one, that with the fewest clients; 0 for none.",
        ),
    ],
};

const AUTO_CONFIG: Object = Object {
    path: "require(\"proxy.auto-config\")",
    class: "mysql_proxy.AutoConfig",
    text: "Settings in `proxy.global.config[MODULE][OPTION]`, shown and changed by SQL: `PROXY SHOW CONFIG`, `PROXY SET GLOBAL \
           module.option = value`, `PROXY SAVE CONFIG INTO \"file\"`, `PROXY LOAD CONFIG FROM \"file\"`. The functions are \
           methods of `proxy.global.config`, too. They read and write files with the rights of the proxy: show `handle` \
           only the commands of clients that may do so. Each Lua state has settings of its own.",
    fields: &[
        Field::read(
            "handle",
            "fun(config: table, command: table): integer|nil",
            "Answers one of the statements above, in up to 128 bytes: `proxy.PROXY_SEND_RESULT`, with `proxy.response` filled \
             in; nil for everything else. `command` is of `proxy.commands`; it may be the only argument.",
        ),
        Field::read(
            "save",
            "fun(config: table, file: string): true|nil, string?",
            "Writes settings that are strings, numbers or booleans. A file that is there and was not saved so is kept. `true`, \
             or nil and what is wrong.",
        ),
        Field::read(
            "load",
            "fun(config: table, file: string): true|nil, string?",
            "Adds a file's settings to those that there are. `true`, or nil and what is wrong.",
        ),
    ],
};

const SHARING: Object = Object {
    path: "require(\"proxy.sharing\")",
    class: "mysql_proxy.Sharing",
    text: "For scripts that give the connection back after each statement: how long a client needs it.",
    fields: &[
        Field::read(
            "session",
            "fun(): table",
            "Of one connection. `session:attach(packet)`, for each command: whether the client has a connection already. If \
             not, `session:answer(packet)` answers what is asked about its last statement, or is nil. \
             `session:is_followed(packet)`: queue it, and ask in `read_query_result`; else return nothing. \
             `session:needs_connection(inj)`: whether the client needs it for more (a transaction, a prepared statement, \
             warnings, found rows).",
        ),
        Field::read(
            "close_surplus",
            "fun(max_idle_connections: integer): integer|nil",
            "For `disconnect_client`: takes an idle connection of a backend where the user has more, so that it is closed. \
             That backend's number, or nil.",
        ),
    ],
};

const TOOLKIT: Object = Object {
    path: "require(\"proxy.toolkit\")",
    class: "mysql_proxy.Toolkit",
    text: "What the shipped scripts have in common.",
    fields: &[
        Field::read(
            "settings",
            "fun(name: string, defaults: table): table",
            "`proxy.global.config[name]`, with defaults for what is not set there.",
        ),
        Field::read(
            "user_is_one_of",
            "fun(names: string): boolean",
            "Whether the client's user is in a list that blanks or commas separate.",
        ),
        Field::read(
            "answer",
            "fun(columns: any[], rows: any[][]): integer",
            "A result in `proxy.response`. A column is its name, or `{ name, type }`. Return what it returns.",
        ),
        Field::read(
            "ok",
            "fun(affected_rows?: integer): integer",
            "An OK, in the same way.",
        ),
        Field::read(
            "refuse",
            "fun(message: string, code?: integer, sqlstate?: string): integer",
            "An ERR, in the same way; 1105 and `HY000` unless given.",
        ),
        Field::read(
            "words",
            "fun(packet: string): string|nil",
            "Of a query of at most 255 bytes, its words in capitals with blanks between them, without comments and \
             semicolons at the end; nil for all else. To compare it with statements that a script answers.",
        ),
        Field::read(
            "configure",
            "fun(packet: string, operators: string): integer|nil",
            "Answers `PROXY SHOW CONFIG` and `PROXY SET GLOBAL` of users in that list, and refuses those of others; nil for \
             all else.",
        ),
        Field::read(
            "cut",
            "fun(text: string, bytes: integer): string",
            "At most so many bytes of it; dots stand for the rest.",
        ),
        Field::read(
            "kind",
            "fun(tokens: mysql_proxy.Token[]): string",
            "What queries have in common that differ in constants, or in how many there are in a list. At most 1000 bytes.",
        ),
        Field::read(
            "statements",
            "fun(keep: fun(sql: string): any): table",
            "What a connection runs, with prepared statements. `statements:of(packet)`, for each command: `keep(sql)` of what \
             it runs or prepares; false if that is not known, nil if it does neither. `statements:options(packet)`: for \
             `proxy.queries:append`. `statements:note(inj)`: for each result.",
        ),
        Field::read(
            "tally",
            "fun(rows_max: integer): table",
            "`rows` by key, of which there are so many at most, and their `count`.",
        ),
        Field::read(
            "row",
            "fun(tally: table, key: string, create: fun(): table): table",
            "The row of a key; that of `(others)` where there is no room.",
        ),
        Field::read(
            "add_time",
            "fun(tally: table, key: string, time: number): table",
            "Counts it in the row of a key: `count`, `sum`, `min`, `max`. That row.",
        ),
        Field::read(
            "one_line",
            "fun(text: string): string",
            "With blanks for control characters, which would let a statement look like lines of a log.",
        ),
        Field::read(
            "log",
            "fun(level: string, message: string)",
            "Writes to the proxy's log as `chassis.log` does; `print` stays what it is.",
        ),
        Field::read(
            "write_line",
            "fun(file: string, line: string)",
            "Appends to a file, which may be moved away at any time; to standard output for an empty name, and if the file \
             does not take it.",
        ),
    ],
};

const TEST: Object = Object {
    path: "require(\"proxy.test\")",
    class: "mysql_proxy.Test",
    text: "Unit tests of scripts. The two assertions are global functions, too.",
    fields: &[
        Field::read(
            "assertEquals",
            "fun(got: any, expected: any)",
            "Raises an error unless both are equal.",
        ),
        Field::read(
            "assertNotEquals",
            "fun(got: any, unexpected: any)",
            "Raises an error if both are equal.",
        ),
        Field::read(
            "BaseTest",
            "table",
            "A class; its `new(fields)` makes others. Methods whose names begin with `test` are tests, each between `setUp` \
             and `tearDown`.",
        ),
        Field::read(
            "ProxyBaseTest",
            "table",
            "A `BaseTest` with `setDefaultScope()`: for one test, `proxy` is a table with the constants, an empty queue and no \
             backends, where reading what is not there is an error.",
        ),
        Field::read(
            "Result",
            "table",
            "A class: `passed`, `failed`, `failures`, and `print()`.",
        ),
        Field::read(
            "Suite",
            "table",
            "A class: `new({ result = ... })`, `run()` for all global variables of the caller that begin with `Test`, and \
             `exit_code()`.",
        ),
    ],
};
