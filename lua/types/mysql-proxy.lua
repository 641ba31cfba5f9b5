---@meta

-- What mysql-proxy gives to scripts, for the Lua language server: add the directory of this file to
-- `workspace.library`. Made from the program's source.

--- What the program gives to scripts. New keys belong to the connection.
---@class mysql_proxy.Proxy
---@field connection mysql_proxy.Connection The connection whose hook runs.
---@field queries mysql_proxy.Queries What is sent to the server.
---@field response mysql_proxy.Response What is sent to the client.
---@field global mysql_proxy.Global What all connections of a Lua state share.
---@field shared mysql_proxy.Shared What all Lua states share.
---@field PROXY_VERSION integer This program's version, one byte a part: 0x000901 for 0.9.1.
---@field PROXY_SEND_QUERY 1
---@field PROXY_SEND_RESULT 2
---@field PROXY_IGNORE_RESULT 4
---@field MYSQLD_PACKET_OK 0
---@field MYSQLD_PACKET_RAW 250
---@field MYSQLD_PACKET_EOF 254
---@field MYSQLD_PACKET_ERR 255
---@field BACKEND_STATE_UNKNOWN 0
---@field BACKEND_STATE_UP 1
---@field BACKEND_STATE_DOWN 2
---@field BACKEND_TYPE_UNKNOWN 0
---@field BACKEND_TYPE_RW 1
---@field BACKEND_TYPE_RO 2
---@field COM_SLEEP 0
---@field COM_QUIT 1
---@field COM_INIT_DB 2
---@field COM_QUERY 3
---@field COM_FIELD_LIST 4
---@field COM_CREATE_DB 5
---@field COM_DROP_DB 6
---@field COM_REFRESH 7
---@field COM_SHUTDOWN 8
---@field COM_STATISTICS 9
---@field COM_PROCESS_INFO 10
---@field COM_CONNECT 11
---@field COM_PROCESS_KILL 12
---@field COM_DEBUG 13
---@field COM_PING 14
---@field COM_TIME 15
---@field COM_DELAYED_INSERT 16
---@field COM_CHANGE_USER 17
---@field COM_BINLOG_DUMP 18
---@field COM_TABLE_DUMP 19
---@field COM_CONNECT_OUT 20
---@field COM_REGISTER_SLAVE 21
---@field COM_STMT_PREPARE 22
---@field COM_STMT_EXECUTE 23
---@field COM_STMT_SEND_LONG_DATA 24
---@field COM_STMT_CLOSE 25
---@field COM_STMT_RESET 26
---@field COM_SET_OPTION 27
---@field COM_STMT_FETCH 28
---@field COM_DAEMON 29
---@field COM_BINLOG_DUMP_GTID 30
---@field COM_RESET_CONNECTION 31
---@field MYSQL_TYPE_DECIMAL 0
---@field MYSQL_TYPE_TINY 1
---@field MYSQL_TYPE_SHORT 2
---@field MYSQL_TYPE_LONG 3
---@field MYSQL_TYPE_FLOAT 4
---@field MYSQL_TYPE_DOUBLE 5
---@field MYSQL_TYPE_NULL 6
---@field MYSQL_TYPE_TIMESTAMP 7
---@field MYSQL_TYPE_LONGLONG 8
---@field MYSQL_TYPE_INT24 9
---@field MYSQL_TYPE_DATE 10
---@field MYSQL_TYPE_TIME 11
---@field MYSQL_TYPE_DATETIME 12
---@field MYSQL_TYPE_YEAR 13
---@field MYSQL_TYPE_NEWDATE 14
---@field MYSQL_TYPE_BIT 16
---@field MYSQL_TYPE_NEWDECIMAL 246
---@field MYSQL_TYPE_ENUM 247
---@field MYSQL_TYPE_SET 248
---@field MYSQL_TYPE_TINY_BLOB 249
---@field MYSQL_TYPE_MEDIUM_BLOB 250
---@field MYSQL_TYPE_LONG_BLOB 251
---@field MYSQL_TYPE_BLOB 252
---@field MYSQL_TYPE_VAR_STRING 253
---@field MYSQL_TYPE_STRING 254
---@field MYSQL_TYPE_GEOMETRY 255

--- The connection whose hook runs; no other can be reached.
---@class mysql_proxy.Connection
---@field backend_ndx integer The number of the backend in `proxy.global.backends`, from 1; 0 for none. Writing 0 gives the attached connection to its backend's pool; a number takes an idle connection of that backend in its place. In `connect_server` it chooses the backend: with `proxy.PROXY_IGNORE_RESULT` the idle connection is used, else a new one. In `read_auth` it sends the client to another backend. Without an idle connection for the client's user the number is kept and nothing else happens; a client with no connection at all then waits for one when it sends a command. A connection that others must not get (a transaction, a prepared statement, a lock ...) stays, and the log says why.
---@field client mysql_proxy.Socket The client's side.
---@field server mysql_proxy.Socket|nil The server's side; nil while there is no server.
---@field connection_close boolean `true` closes the connection when the command that is running has its answer.

--- One side of the connection. What is not known yet reads nil, and the log says so.
---@class mysql_proxy.Socket
---@field src mysql_proxy.Address Where the connection comes from.
---@field dst mysql_proxy.Address Where it goes to.
---@field default_db string The default database: of the login, COM_INIT_DB and `USE`; empty for none.
---@field username string Who logs in. Known from `read_auth` on.
---@field scrambled_password string The answer to the challenge, as it was sent. Known from `read_auth` on.
---@field auth_plugin_name string The authentication plugin: of the login, and before it of the greeting. Empty for none.
---@field mysqld_version integer The server's version, two digits a part: 50099 for 5.0.99. Known from `read_handshake` on.
---@field thread_id integer The server's number for the connection, as in SHOW PROCESSLIST. Known from `read_handshake` on.
---@field scramble_buffer string The challenge. Known from `read_handshake` on.

--- The end of a connection.
---@class mysql_proxy.Address
---@field type integer|nil The address family: 1 for a Unix socket, 2 for IPv4, 10 for IPv6. nil while the name was not looked up.
---@field name string `ip:port`, `[ip6]:port` or the socket's path; of a backend that was never reached, the name as configured.
---@field address string|nil The IP address, or the socket's path; empty for a client of a Unix socket.
---@field port integer|nil nil for a Unix socket.

--- A table that all connections of a Lua state share, for whatever scripts keep in it.
---@class mysql_proxy.Global
---@field backends mysql_proxy.Backend[] The servers behind the proxy.
---@field config table Empty; by custom the settings of scripts and modules.

--- A server behind the proxy, from 1 in the order of the command line; `#proxy.global.backends` is how many there are. Beyond the last it is nil.
---@class mysql_proxy.Backend
---@field dst mysql_proxy.Address Its address.
---@field state integer `proxy.BACKEND_STATE_UNKNOWN` (never used), `_UP` or `_DOWN`. A script may mark it.
---@field type integer `proxy.BACKEND_TYPE_RW` or `_RO`.
---@field connected_clients integer Clients that use it now; idle connections in the pool do not count.
---@field uuid string|nil The server's UUID, as a script noted it down; nil when none did.
---@field pool mysql_proxy.Pool Its idle connections.

--- A backend's idle connections. They come from hooks that write `proxy.connection.backend_ndx = 0`, and go to those that write a number.
---@class mysql_proxy.Pool
---@field min_idle_connections integer A user with more idle connections than this lends them to clients that log in; 0 unless set. All Lua states share it.
---@field max_idle_connections integer Noted down for scripts that agree on how many connections to keep; 0 unless set.
---@field users table<string, mysql_proxy.PoolUser> Idle connections by user name; never nil.

--- A user's idle connections. Of the user `""`: those of some user who has more than `min_idle_connections`. Of the client's own user, from `read_auth` on: those that suit what the client agreed on at its login.
---@class mysql_proxy.PoolUser
---@field cur_idle_connections integer How many there are.

--- What the script sends in the place of the client's command, one after the other, when a hook returns `proxy.PROXY_SEND_QUERY`. Empty at the start of each `read_query`; `#proxy.queries` is how many wait.
---@class mysql_proxy.Queries
---@field append fun(self: mysql_proxy.Queries, id: integer, packet: string, options?: { resultset_is_needed?: boolean, attributes?: table<string, string|number> }) Behind all others. `id` is for `read_query_result` to tell queries apart; `packet` is the command byte and the body. With `resultset_is_needed` the result is kept for `read_query_result` and may be changed or dropped; without, it goes to the client as it comes. `attributes` are the query attributes of a COM_QUERY, instead of those of the client's command; they are left out where client and server did not agree on any.
---@field prepend fun(self: mysql_proxy.Queries, id: integer, packet: string, options?: { resultset_is_needed?: boolean, attributes?: table<string, string|number> }) As `append`, before all others.
---@field reset fun(self: mysql_proxy.Queries) Forgets all that wait.
---@field len fun(self: mysql_proxy.Queries): integer How many wait.

--- What the client gets when a hook returns `proxy.PROXY_SEND_RESULT`: a table of the script's own, empty at the start of each `read_query`. One that cannot be sent is ERR 1105, and the log says what is wrong with it.
---@class mysql_proxy.Response
---@field type integer `proxy.MYSQLD_PACKET_OK` (an OK, or a resultset), `_ERR` or `_RAW`.
---@field affected_rows integer|nil Of an OK; 0 unless set.
---@field insert_id integer|nil Of an OK; 0 unless set.
---@field resultset mysql_proxy.ResponseResultset|nil Makes an OK a result with rows.
---@field errmsg string|nil The text of an ERR, which needs it; cut to 512 bytes.
---@field errcode integer|nil Of an ERR; 1105 unless set.
---@field sqlstate string|nil Five characters, of an ERR; `07000` unless set.
---@field packets string[]|nil Of `_RAW`: the packets themselves, without headers.

--- A result with rows.
---@class mysql_proxy.ResponseResultset
---@field fields mysql_proxy.ResponseField[] The columns; at least one.
---@field rows any[][] The rows. Cells are strings or numbers; nil, booleans and tables become NULL.

--- A column.
---@class mysql_proxy.ResponseField
---@field name string Its name.
---@field type integer|nil `proxy.MYSQL_TYPE_*`; `proxy.MYSQL_TYPE_STRING` unless set.

--- What `read_query_result` is called with: a query and what came of it. Good for that one call.
---@class mysql_proxy.Injection
---@field id integer The number given to `proxy.queries:append()`.
---@field type integer The old name of `id`.
---@field query string The query: command byte and body.
---@field query_time integer Microseconds from queueing the query to its response's first packet.
---@field response_time integer Microseconds from queueing the query to its response's last packet.
---@field resultset mysql_proxy.Resultset What came back; never nil.

--- The response to a query: numbers of all of it; `fields` and `rows` of its first resultset. `fields`, `rows` and `raw` raise an error unless the query was queued with `resultset_is_needed`.
---@class mysql_proxy.Resultset
---@field row_count integer Rows of all resultsets.
---@field bytes integer Bytes of their packets, headers included.
---@field flags mysql_proxy.Flags The server's state at the end of the response.
---@field warning_count integer How many SHOW WARNINGS has.
---@field affected_rows integer|nil nil where the response ends with a resultset.
---@field insert_id integer|nil nil where the response ends with a resultset.
---@field query_status integer|nil `proxy.MYSQLD_PACKET_OK`, also for resultsets, or `_ERR`; nil where the server asks for a file (LOAD DATA LOCAL).
---@field fields mysql_proxy.ResultsetField[] The columns; empty where there is no resultset.
---@field rows (fun(): string[]|nil)|nil An iterator: `for row in inj.resultset.rows do`. A row is a table of strings, NULL is nil. nil where there is no resultset. Rows of prepared statements raise an error.
---@field raw string|nil The response's first packet, without header.
---@field session_state mysql_proxy.SessionState|nil What the server says that changed in its session; nil where it says nothing, or where client and server did not agree on SESSION_TRACK. It needs no `resultset_is_needed`.

--- A new table at each access.
---@class mysql_proxy.Flags
---@field in_trans boolean A transaction is open.
---@field auto_commit boolean `autocommit` is on.
---@field no_good_index_used boolean The server says so.
---@field no_index_used boolean The server says so.

--- A new table at each access. What the server tells is for its `session_track_*` variables to say.
---@class mysql_proxy.SessionState
---@field schema string|nil The default database, if it was set.
---@field system_variables table<string, string> Those that were set, and their values; empty for none.
---@field state_change boolean|nil Anything of the session changed (`session_track_state_change`).
---@field gtids string|nil What was committed (`session_track_gtids`).
---@field transaction_characteristics string|nil Statements that start the open transaction again; empty for none (`session_track_transaction_info`).
---@field transaction_state string|nil Eight letters or underscores: `T_R_____` is a transaction that has read (`session_track_transaction_info`).

--- A column of a result. All is nil where the client and the server agreed to leave descriptions out.
---@class mysql_proxy.ResultsetField
---@field name string|nil The column's alias.
---@field type integer|nil `proxy.MYSQL_TYPE_*`
---@field org_name string|nil The column's name; nil for an expression.
---@field table string|nil The table's alias.
---@field org_table string|nil The table's name.

--- A dictionary that all Lua states share, where `proxy.global` is each state's own. Values are strings, numbers and booleans; each function is one atomic step. It takes at most `--lua-shared-limit` bytes; what does not fit is refused with `nil, "full"`.
---@class mysql_proxy.Shared
---@field get fun(key: string): string|number|boolean|nil The value; nil where there is none, or it has expired.
---@field set fun(key: string, value: string|number|boolean|nil, seconds?: number): true|nil, string? Stores a value, for so many seconds if they are given; nil deletes. `true`, or nil and `full`.
---@field add fun(key: string, value: string|number|boolean, seconds?: number): true|nil, string? Stores a value where there is none: `true`, or nil and `exists` or `full`.
---@field incr fun(key: string, amount: number, initial?: number, seconds?: number): number|nil, string? Adds to a number; where there is none, to `initial`. The sum, or nil and `not found`, `not a number` or `full`.
---@field delete fun(key: string): boolean `true` when there was something.
---@field ttl fun(key: string): number|false|nil Seconds that it still lives; `false` for ever, nil where there is nothing.

--- Packets to tables and back, without headers. Also the global `proto` once it is required. In decoded tables an empty string is absent; encoders ignore keys that they do not know. What cannot be decoded raises an error.
---@class mysql_proxy.Proto
---@field from_err_packet fun(packet: string): table `errmsg`, `sqlstate`, `errcode`
---@field to_err_packet fun(fields: table): string The same.
---@field from_ok_packet fun(packet: string): table `server_status`, `insert_id`, `warnings`, `affected_rows`
---@field to_ok_packet fun(fields: table): string The same.
---@field from_eof_packet fun(packet: string): table `server_status`, `warnings`
---@field to_eof_packet fun(fields: table): string The same.
---@field from_challenge_packet fun(packet: string): table A greeting: `protocol_version`, `server_version`, `thread_id`, `capabilities`, `charset`, `server_status`, `challenge`, `auth_plugin_name`
---@field to_challenge_packet fun(fields: table): string The same; `{}` makes a greeting that clients understand.
---@field from_response_packet fun(packet: string, server_capabilities: integer): table A login: `username`, `response`, `database`, `capabilities`, `charset`, `max_packet_size`, `auth_plugin_name`
---@field to_response_packet fun(fields: table): string The same.
---@field from_masterinfo_string fun(packet: string): table The contents of a master.info file.
---@field to_masterinfo_string fun(fields: table): string The same.
---@field from_stmt_prepare_packet fun(packet: string): table `stmt_text`
---@field from_stmt_prepare_ok_packet fun(packet: string): table `stmt_id`, `num_columns`, `num_params`, `warnings`
---@field from_stmt_execute_packet fun(packet: string, parameters: integer): table `stmt_id`, `flags`, `iteration_count`, `new_params_bound`, and `params` of `type` and `value`
---@field stmt_id_from_stmt_execute_packet fun(packet: string): integer The statement that is executed.
---@field from_stmt_close_packet fun(packet: string): table `stmt_id`

--- What `mysql_native_password` computes. Also the global `password` once it is required.
---@class mysql_proxy.Password
---@field hash fun(password: string): string SHA1 of the password.
---@field scramble fun(challenge: string, hash: string): string The answer to a challenge; empty when a length is wrong.
---@field unscramble fun(challenge: string, response: string, double_hash: string): string The hash behind an answer; empty when a length is wrong.
---@field check fun(challenge: string, response: string, double_hash: string): boolean Whether the answer is right for the stored double hash.

--- SQL as tokens, in the dialect that servers have by default. Also the global `tokenizer` once it is required.
---@class mysql_proxy.Tokenizer
---@field tokenize fun(sql: string): mysql_proxy.Token[] The tokens: `#tokens` are there, from `tokens[1]` on. `tokens[i] = nil` forgets one. More than 16 million of them are an error.

--- A piece of SQL.
---@class mysql_proxy.Token
---@field text string Without quotes and comment signs; a doubled quote is one, backslashes are as they were.
---@field token_id integer What it is, and for a keyword which one. The numbers never change.
---@field token_name string The same as text: `TK_SQL_SELECT`, `TK_LITERAL` (a name), `TK_FUNCTION` (a name right before a parenthesis), `TK_STRING`, `TK_INTEGER`, `TK_FLOAT`, `TK_COMMENT`, `TK_COMMENT_MYSQL` (`/*! ... */`), `TK_COMMA` ...
---@field raw string As it was written, with quotes and comment signs.
---@field position integer Where `raw` begins in the SQL, from 1: `sql:sub(1, t.position - 1) .. new .. sql:sub(t.position + #t.raw)` puts something else in its place.

--- A client's command as a table, and as text for a log.
---@class mysql_proxy.Commands
---@field parse fun(packet: string): table `type`, `type_name`, and by command `query` (COM_QUERY, COM_STMT_PREPARE), `schema` (COM_INIT_DB, COM_CREATE_DB, COM_DROP_DB), `table` (COM_FIELD_LIST), `option` (COM_SET_OPTION), `stmt_handler_id` (commands of a prepared statement).
---@field pretty_print fun(command: table): string `[COM_QUERY] SELECT 1`; `[COM_PING] ... no idea` where there is nothing to show.

--- From SQL to tokens, to a text that queries of one kind have in common, and back to SQL.
---@class mysql_proxy.ProxyTokenizer
---@field tokenize fun(sql: string): mysql_proxy.Token[] As in `mysql.tokenizer`.
---@field normalize fun(tokens: mysql_proxy.Token[]): string Without values and comments, the same for all queries of a kind, with a space at the end: ``SELECT * FROM `film` WHERE `id` = ? ``
---@field first_stmt_token fun(tokens: mysql_proxy.Token[]): mysql_proxy.Token|nil The first one that is no comment.
---@field bare_tokens fun(tokens: mysql_proxy.Token[], quotes_strings?: boolean): string[] The texts of all but comments; strings in double quotes if wanted.
---@field tokens_without_comments fun(tokens: mysql_proxy.Token[]): string[] The texts of all but comments.
---@field tokens_to_query fun(tokens: mysql_proxy.Token[], from?: integer, to?: integer): string SQL again, of all tokens or of those from one number to another: without comments, a space behind each token but functions, strings in double quotes (which `ANSI_QUOTES` takes for names).

--- Which tables a statement names. Sub-queries, views, triggers and routines are not looked into.
---@class mysql_proxy.Parser
---@field get_tables fun(tokens: mysql_proxy.Token[]): table<string, "read"|"write"> By `database.table`: of SELECT, INSERT, REPLACE, UPDATE, DELETE, TRUNCATE, and CREATE, DROP, ALTER and RENAME TABLE. All tables of an UPDATE or a DELETE count as written.
---@field tablename_expand fun(table: string, database?: string): string `database.table`, with the client's default database where none is given; it may be empty.

--- Which backend has an idle connection for the client's user. For hooks from `read_auth` on.
---@class mysql_proxy.Balance
---@field idle_failsafe_rw fun(): integer The first primary that is not down and has one; 0 for none.
---@field idle_ro fun(): integer Of the replicas that are not down and have one, that with the fewest clients; 0 for none.

--- Settings in `proxy.global.config[MODULE][OPTION]`, shown and changed by SQL: `PROXY SHOW CONFIG`, `PROXY SET GLOBAL module.option = value`, `PROXY SAVE CONFIG INTO "file"`, `PROXY LOAD CONFIG FROM "file"`. The functions are methods of `proxy.global.config`, too. They read and write files with the rights of the proxy: show `handle` only the commands of clients that may do so. Each Lua state has settings of its own.
---@class mysql_proxy.AutoConfig
---@field handle fun(config: table, command: table): integer|nil Answers one of the statements above, in up to 128 bytes: `proxy.PROXY_SEND_RESULT`, with `proxy.response` filled in; nil for everything else. `command` is of `proxy.commands`; it may be the only argument.
---@field save fun(config: table, file: string): true|nil, string? Writes settings that are strings, numbers or booleans. A file that is there and was not saved so is kept. `true`, or nil and what is wrong.
---@field load fun(config: table, file: string): true|nil, string? Adds a file's settings to those that there are. `true`, or nil and what is wrong.

--- For scripts that give the connection back after each statement: how long a client needs it.
---@class mysql_proxy.Sharing
---@field session fun(): table Of one connection. `session:attach(packet)`, for each command: whether the client has a connection already. If not, `session:answer(packet)` answers what is asked about its last statement, or is nil. `session:is_followed(packet)`: queue it, and ask in `read_query_result`; else return nothing. `session:needs_connection(inj)`: whether the client needs it for more (a transaction, a prepared statement, warnings, found rows).
---@field close_surplus fun(max_idle_connections: integer): integer|nil For `disconnect_client`: takes an idle connection of a backend where the user has more, so that it is closed. That backend's number, or nil.

--- What the shipped scripts have in common.
---@class mysql_proxy.Toolkit
---@field settings fun(name: string, defaults: table): table `proxy.global.config[name]`, with defaults for what is not set there.
---@field user_is_one_of fun(names: string): boolean Whether the client's user is in a list that blanks or commas separate.
---@field answer fun(columns: any[], rows: any[][]): integer A result in `proxy.response`. A column is its name, or `{ name, type }`. Return what it returns.
---@field ok fun(affected_rows?: integer): integer An OK, in the same way.
---@field refuse fun(message: string, code?: integer, sqlstate?: string): integer An ERR, in the same way; 1105 and `HY000` unless given.
---@field words fun(packet: string): string|nil Of a query of at most 255 bytes, its words in capitals with blanks between them, without comments and semicolons at the end; nil for all else. To compare it with statements that a script answers.
---@field configure fun(packet: string, operators: string): integer|nil Answers `PROXY SHOW CONFIG` and `PROXY SET GLOBAL` of users in that list, and refuses those of others; nil for all else.
---@field cut fun(text: string, bytes: integer): string At most so many bytes of it; dots stand for the rest.
---@field kind fun(tokens: mysql_proxy.Token[]): string What queries have in common that differ in constants, or in how many there are in a list. At most 1000 bytes.
---@field statements fun(keep: fun(sql: string): any): table What a connection runs, with prepared statements. `statements:of(packet)`, for each command: `keep(sql)` of what it runs or prepares; false if that is not known, nil if it does neither. `statements:options(packet)`: for `proxy.queries:append`. `statements:note(inj)`: for each result.
---@field tally fun(rows_max: integer): table `rows` by key, of which there are so many at most, and their `count`.
---@field row fun(tally: table, key: string, create: fun(): table): table The row of a key; that of `(others)` where there is no room.
---@field add_time fun(tally: table, key: string, time: number): table Counts it in the row of a key: `count`, `sum`, `min`, `max`. That row.
---@field one_line fun(text: string): string With blanks for control characters, which would let a statement look like lines of a log.
---@field log fun(level: string, message: string) Writes to the proxy's log as `chassis.log` does; `print` stays what it is.
---@field write_line fun(file: string, line: string) Appends to a file, which may be moved away at any time; to standard output for an empty name, and if the file does not take it.

--- Unit tests of scripts. The two assertions are global functions, too.
---@class mysql_proxy.Test
---@field assertEquals fun(got: any, expected: any) Raises an error unless both are equal.
---@field assertNotEquals fun(got: any, unexpected: any) Raises an error if both are equal.
---@field BaseTest table A class; its `new(fields)` makes others. Methods whose names begin with `test` are tests, each between `setUp` and `tearDown`.
---@field ProxyBaseTest table A `BaseTest` with `setDefaultScope()`: for one test, `proxy` is a table with the constants, an empty queue and no backends, where reading what is not there is an error.
---@field Result table A class: `passed`, `failed`, `failures`, and `print()`.
---@field Suite table A class: `new({ result = ... })`, `run()` for all global variables of the caller that begin with `Test`, and `exit_code()`.

--- The log, and the end of the program. Also the global `chassis` once it is required. From then on `print` is `chassis.message` in all scripts of the Lua state: it logs its first argument; what it was is `os.print`.
---@class mysql_proxy.Chassis
---@field log fun(level: "error"|"critical"|"warning"|"message"|"info"|"debug"|nil, message?: string|number) Logs a line, `(FILE:LINE) MESSAGE`; nil for a level is `message`. No level ends the program.
---@field critical fun(message?: string|number) As `log` of this level.
---@field warning fun(message?: string|number) As `log` of this level.
---@field message fun(message?: string|number) As `log` of this level.
---@field info fun(message?: string|number) As `log` of this level.
---@field debug fun(message?: string|number) As `log` of this level.
---@field set_shutdown fun() Ends the program as SIGTERM does: idle sessions at once, others within `--shutdown-timeout`.
---@field get_stats fun(name?: string): table|nil By name in any case, or all in one table: `chassis` has `lua_mem_bytes`, what the values of the Lua state take, and `lua_mem_bytes_max`, the most of it that `get_stats` has seen. nil for other names.
---@field mem_profile fun() Logs `lua_mem_bytes`.

--- Files and directories, as LuaFileSystem 1.2 has them; what cannot be done is nil and a message. Also the global `lfs` once it is required.
---@class mysql_proxy.Lfs
---@field attributes fun(path: string, member_or_table?: string|table): table|string|number|nil, string? What a path leads to, as a table, in the given table, or one member of it: `mode` (`file`, `directory`, `socket`, `named pipe`, `char device`, `block device`, `other`), `size`, `dev`, `ino`, `nlink`, `uid`, `gid`, `rdev`, `blocks`, `blksize`, and in seconds since 1970 `access`, `modification`, `change`.
---@field chdir fun(path: string): true|nil, string? Changes the working directory, of the whole process.
---@field currentdir fun(): string|nil, string? The working directory.
---@field dir fun(path: string): fun(): string|nil An iterator over the names in a directory, `.` and `..` among them. Raises an error where it cannot be read.
---@field mkdir fun(path: string): true|nil, string? Makes a directory.
---@field rmdir fun(path: string): true|nil, string? Removes an empty directory.
---@field touch fun(path: string, access?: number, modification?: number): true|nil, string? Sets a file's times, in seconds since 1970: now unless given, both to the first one where the second is left out.
---@field lock fun(file: file*, mode: "r"|"w", start?: integer, length?: integer): true|nil, string? Locks an open file, or some bytes of it, against other processes; `r` shares it. It does not wait.
---@field unlock fun(file: file*, start?: integer, length?: integer): true|nil, string? Unlocks it.

--- Processes and users. Also the global `posix` once it is required.
---@class mysql_proxy.Posix
---@field getpid fun(): integer The proxy's process.
---@field getuid fun(): integer The user that it runs as.
---@field getpwuid fun(uid: integer): { name: string, uid: integer, gid: integer, dir: string, shell: string }|nil A user of the system; nil where there is none of this number.
---@field kill fun(pid: integer, signal: integer): integer Sends a signal, or with 0 asks whether it could be sent: 0, or -1 when it could not.

--- Sleep, MD5, and the time of day. Also the global `glib2` once it is required.
---@class mysql_proxy.Glib2
---@field usleep fun(microseconds: integer) Waits. So do all other connections of the Lua state, and what else its thread serves.
---@field md5 fun(text: string): string The MD5 sum, as 32 hexadecimal digits.
---@field get_current_time fun(): { tv_sec: integer, tv_usec: integer } The time since 1970, in seconds and microseconds.

---@type mysql_proxy.Proxy
proxy = {}

--- Before each attempt to reach a server: again after one that could not be reached, which is marked down by then.
---@alias mysql_proxy.hook.connect_server fun(): integer?

--- A server has greeted; the client has not heard of it yet.
---@alias mysql_proxy.hook.read_handshake fun(): integer?

--- The client has said who it is; the server has not heard of it yet.
---@alias mysql_proxy.hook.read_auth fun(): integer?

--- Each packet of the server during the login: OK, ERR, or another question to the client.
---@alias mysql_proxy.hook.read_auth_result fun(auth: { packet: string }): integer?

--- Each command of the client, all of it: `packet:byte()` is the command, `packet:sub(2)` its body, of a COM_QUERY the text. Also COM_QUIT; an empty packet has no byte. `attributes` are the query attributes of a COM_QUERY by name (numbers and strings; of several by one name the first), nil where there are none.
---@alias mysql_proxy.hook.read_query fun(packet: string, attributes: table<string, any>|nil): integer?

--- The response to a query of `proxy.queries` is complete. Not for commands that went to the server as they came, nor for those without a response.
---@alias mysql_proxy.hook.read_query_result fun(inj: mysql_proxy.Injection): integer?

--- The connection ends, for whatever reason; once.
---@alias mysql_proxy.hook.disconnect_client fun(): integer?
