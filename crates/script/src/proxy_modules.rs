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
