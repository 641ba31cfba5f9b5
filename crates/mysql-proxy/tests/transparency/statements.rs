//! SQL of all kinds, for both servers: what one of them does not know is an error of its own.
//!
//! The own database has the table `t`; `test` has tables and procedures to read from.

use fastrand::Rng;

use crate::session::Text;

/// The largest payload of one packet.
const PACKET_PAYLOAD_BYTES_MAX: usize = 0xff_ffff;

/// A number at or near a bound.
pub(crate) fn around(random: &mut Rng, bound: usize) -> usize {
    bound - 3 + random.usize(..7)
}

/// A statement or a row of more than one packet, or of almost one.
pub(crate) fn long(random: &mut Rng) -> Text {
    const WORDS_BYTES: usize = 21;
    let row = PACKET_PAYLOAD_BYTES_MAX - 4;
    match random.usize(..5) {
        0 => format!("SELECT REPEAT('x', {})", around(random, row)).into(),
        1 => format!(
            "SELECT REPEAT(0xfe, {}), 'behind'; SELECT 2",
            around(random, 1 << 24)
        )
        .into(),
        2 => format!(
            "SELECT REPEAT('y', {}) UNION ALL SELECT 'short'",
            around(random, 2 * row)
        )
        .into(),
        3 => format!(
            "SELECT 'a', NULL, REPEAT('z', {}), 'b'",
            around(random, row)
        )
        .into(),
        _ => {
            let bytes = around(random, PACKET_PAYLOAD_BYTES_MAX - WORDS_BYTES);
            let filler = vec![b'q'; bytes];
            Text([b"SELECT LENGTH('".as_slice(), &filler, b"'), 2"].concat())
        }
    }
}

/// Makes statements.
pub(crate) struct Statements<'a> {
    random: &'a mut Rng,
    is_mariadb: bool,
}

impl<'a> Statements<'a> {
    pub(crate) fn new(random: &'a mut Rng, is_mariadb: bool) -> Self {
        Self { random, is_mariadb }
    }

    /// What a COM_QUERY has: mostly one statement.
    pub(crate) fn text(&mut self) -> String {
        let count = match self.random.usize(..12) {
            0..=9 => 1,
            _ => 2 + self.random.usize(..3),
        };
        let statements: Vec<_> = (0..count).map(|_| self.statement()).collect();
        let end = self.pick(&["", "", "", "", "", ";", "; "]);
        statements.join(self.pick(&["; ", ";", " ;\n"])) + end
    }

    /// With parameters or without, for COM_STMT_PREPARE.
    pub(crate) fn prepared(&mut self) -> String {
        let one = [
            "SELECT ?",
            "SELECT n, ? FROM test.numbers WHERE n < 4 ORDER BY n",
            "DO ?",
            "SELECT n FROM test.numbers WHERE n >= ? ORDER BY n",
            "SELECT * FROM t WHERE id >= ? ORDER BY id",
            "SELECT a, b FROM test.types WHERE a = ?",
            "DELETE FROM t WHERE id = ?",
            "INSERT INTO t (a) VALUES (?)",
            "SELECT LENGTH(?)",
            "CALL test.results(?)",
            "SET @p = ?",
            "SELECT test.twice(?)",
        ];
        let two = [
            "SELECT ?, ?",
            "UPDATE t SET b = ? WHERE id = ?",
            "INSERT INTO t (id, a) VALUES (?, ?)",
            "INSERT INTO t (id, a) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = b + 1",
            "REPLACE INTO t (id, a) VALUES (?, ?)",
            "SELECT ? + ?, CONCAT(?)",
            "SELECT n FROM test.numbers WHERE n BETWEEN ? AND ? ORDER BY n",
            "SELECT LENGTH(?), ?",
        ];
        let three = [
            "SELECT ?, ?, ?",
            "CALL test.outs(?, ?, ?)",
            "INSERT INTO t (a, b, c) VALUES (?, ?, ?)",
        ];
        match self.random.usize(..12) {
            0..=3 => self.pick(&one).to_owned(),
            4..=6 => self.pick(&two).to_owned(),
            7 | 8 => self.pick(&three).to_owned(),
            9 => "SELECT * FROM test.types".to_owned(),
            10 => self.text(),
            _ => self.statement(),
        }
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.usize(..bound)
    }

    fn statement(&mut self) -> String {
        match self.below(100) {
            0..=14 => self.values(),
            15..=26 => self.rows(),
            27..=44 => self.change(),
            45..=53 => self.transaction(),
            54..=60 => self.about_session(),
            61..=68 => self.setting(),
            69..=75 => self.error(),
            76..=80 => self.call(),
            81..=84 => self.text_statement(),
            85..=90 => self.table(),
            91..=93 => self.tracking(),
            94..=96 => self.show(),
            _ => self.oddity(),
        }
    }

    fn values(&mut self) -> String {
        let count = 1 + self.below(5);
        let values: Vec<_> = (0..count).map(|_| self.value()).collect();
        format!("SELECT {}", values.join(", "))
    }

    fn value(&mut self) -> String {
        let n = self.below(1000);
        match self.below(16) {
            0 => n.to_string(),
            1 => "NULL".to_owned(),
            2 => format!("'{n}'"),
            3 => "''".to_owned(),
            4 => self
                .pick(&["0x00", "0xfe", "0xff", "0xfbfcfd", "_binary 'b'", "b'101'"])
                .to_owned(),
            5 => format!("-{n}.{n}"),
            6 => format!("{n}e10"),
            7 => format!("REPEAT('r', {})", around(self.random, 251)),
            8 => match self.below(8) {
                0 => format!("REPEAT(0xfe, {})", around(self.random, 65_536)),
                1 => format!("REPEAT('l', {})", 70_000 + n),
                _ => format!("REPEAT('s', {n})"),
            },
            9 => self
                .pick(&[
                    "DATE'2024-02-29'",
                    "TIME'-838:59:59'",
                    "TIMESTAMP'1999-12-31 23:59:59.123456'",
                ])
                .to_owned(),
            10 => format!("CAST({n} AS DECIMAL(20, 5))"),
            11 => format!("CAST('{n}' AS UNSIGNED) AS `a name`"),
            12 => self
                .pick(&["JSON_ARRAY(1, NULL, 'x')", "JSON_OBJECT('k', 1)"])
                .to_owned(),
            13 => self.pick(&["@a", "@b", "@p", "@o"]).to_owned(),
            14 => self
                .pick(&[
                    "ST_GeomFromText('POINT(1 2)')",
                    "1 = 1",
                    "CONVERT('ä' USING latin1)",
                ])
                .to_owned(),
            _ => self
                .pick(&["1 / 0", "CAST('x' AS SIGNED)", "LAST_INSERT_ID()"])
                .to_owned(),
        }
    }

    fn rows(&mut self) -> String {
        let n = self.below(100);
        match self.below(14) {
            0 => "SELECT * FROM test.types".to_owned(),
            1 => format!("SELECT n FROM test.numbers WHERE n < {n} ORDER BY n"),
            2 => "SELECT * FROM test.numbers WHERE n < 0".to_owned(),
            3..=5 => "SELECT * FROM t ORDER BY id".to_owned(),
            6 => format!(
                "SELECT a.n, b.n, REPEAT('x', a.n) FROM test.numbers a JOIN test.numbers b WHERE b.n < {} ORDER BY 1, 2",
                n / 5
            ),
            7 => format!(
                "SELECT n, EXP(n * {}) FROM test.numbers ORDER BY n",
                1 + n / 4
            ),
            8 => format!(
                "SELECT SQL_CALC_FOUND_ROWS n FROM test.numbers ORDER BY n LIMIT {}",
                n / 10
            ),
            9 => "SELECT COUNT(*), MIN(id), GROUP_CONCAT(a ORDER BY id) FROM t".to_owned(),
            10 => "SELECT id FROM t ORDER BY id FOR UPDATE".to_owned(),
            11 => format!(
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < {n}) SELECT * FROM r"
            ),
            12 => "SELECT id, b INTO @a, @b FROM t ORDER BY id LIMIT 1".to_owned(),
            _ => format!(
                "SELECT {}",
                (0..=n * 3)
                    .map(|n| format!("{n} AS c{n}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }

    fn change(&mut self) -> String {
        let n = self.below(12);
        match self.below(16) {
            0..=2 => format!("INSERT INTO t (a, b) VALUES ('v{n}', {n})"),
            3 => format!("INSERT INTO t VALUES ({n}, 'with id', {n}, NULL), ({}, 'next', 0, 'x')", n + 1),
            4 => "INSERT IGNORE INTO t (id, a) VALUES (1, 'there'), (NULL, 'much too long for this column')".to_owned(),
            5 => "INSERT INTO t (a, b) SELECT 'copied', n FROM test.numbers WHERE n < 4 ORDER BY n".to_owned(),
            6 => format!("INSERT INTO t (id, a) VALUES ({n}, 'd') ON DUPLICATE KEY UPDATE b = 7, id = LAST_INSERT_ID(id)"),
            7 => format!("REPLACE INTO t (id, a) VALUES ({n}, 'replaced')"),
            8 | 9 => format!("UPDATE t SET b = {n} WHERE id > 1"),
            10 => format!("DELETE FROM t WHERE id > {n}"),
            11 => format!("UPDATE t SET c = REPEAT('c', {}) ORDER BY id LIMIT 2", self.below(3000)),
            12 => "INSERT INTO t (a) VALUES (REPEAT('x', 21))".to_owned(),
            13 => format!("INSERT INTO t (a) VALUES ('r') RETURNING id, {n}"),
            14 => "UPDATE t SET b = 'not a number'".to_owned(),
            _ => "DELETE FROM t RETURNING *".to_owned(),
        }
    }

    fn transaction(&mut self) -> String {
        let statements = [
            "BEGIN",
            "START TRANSACTION",
            "START TRANSACTION READ ONLY",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT",
            "COMMIT",
            "COMMIT AND CHAIN",
            "COMMIT RELEASE",
            "ROLLBACK",
            "ROLLBACK",
            "SAVEPOINT s",
            "ROLLBACK TO SAVEPOINT s",
            "RELEASE SAVEPOINT s",
            "SET autocommit = 0",
            "SET autocommit = 1",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET SESSION TRANSACTION READ ONLY",
            "SET SESSION TRANSACTION READ WRITE",
            "SET completion_type = 'CHAIN'",
            "SET completion_type = 'NO_CHAIN'",
        ];
        // The end of a session is not what most of them are for.
        match self.pick(&statements) {
            "COMMIT RELEASE" if self.below(6) > 0 => "COMMIT".to_owned(),
            statement => statement.to_owned(),
        }
    }

    /// What a session knows of itself, and of its last statement.
    fn about_session(&mut self) -> String {
        self.pick(&[
            "SELECT DATABASE(), USER(), CURRENT_USER()",
            "SELECT LAST_INSERT_ID()",
            "SELECT ROW_COUNT()",
            "SELECT FOUND_ROWS()",
            "SELECT @@warning_count, @@error_count",
            "SELECT @@warning_count",
            "SHOW WARNINGS",
            "SHOW WARNINGS LIMIT 1",
            "SHOW ERRORS",
            "SHOW COUNT(*) WARNINGS",
            "SELECT @a, @b, @p, @o, @io",
            "SELECT @@autocommit, @@sql_mode, @@sql_select_limit",
            "SELECT @@character_set_client, @@collation_connection, @@character_set_results",
            "SELECT @@insert_id, @@last_insert_id, @@identity",
            "GET DIAGNOSTICS @a = ROW_COUNT, @b = NUMBER",
            "GET DIAGNOSTICS CONDITION 1 @a = MESSAGE_TEXT, @b = RETURNED_SQLSTATE",
            "SELECT IS_FREE_LOCK('nobody has it')",
        ])
        .to_owned()
    }

    fn setting(&mut self) -> String {
        let n = self.below(5);
        match self.below(16) {
            0 => format!("SET @a = {n}, @b = NULL"),
            1 => format!("SET @p = 'text {n}'"),
            2 => self
                .pick(&[
                    "SET NAMES latin1",
                    "SET NAMES utf8mb4",
                    "SET NAMES binary",
                    "SET NAMES no_such",
                ])
                .to_owned(),
            3 => "SET CHARACTER SET latin2".to_owned(),
            4 => self
                .pick(&[
                    "SET sql_mode = ''",
                    "SET sql_mode = 'ANSI'",
                    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
                ])
                .to_owned(),
            5 => "SET sql_mode = DEFAULT".to_owned(),
            6 => format!("SET sql_select_limit = {n}"),
            7 => "SET sql_select_limit = DEFAULT".to_owned(),
            8 => format!("SET group_concat_max_len = {}", 4 + n),
            9 => "SET character_set_results = NULL".to_owned(),
            10 => format!("SET insert_id = {}", 50 + n),
            11 => format!("SET timestamp = 17000000{n}"),
            12 => "SET GLOBAL sql_select_limit = 1".to_owned(),
            13 => self
                .pick(&[
                    "SET resultset_metadata = NONE",
                    "SET resultset_metadata = FULL",
                ])
                .to_owned(),
            14 => self
                .pick(&["USE test", "USE no_such_database", "USE test"])
                .to_owned(),
            _ => format!(
                "SET @@session.max_error_count = {n}, @@lock_wait_timeout = {}",
                100 + n
            ),
        }
    }

    fn error(&mut self) -> String {
        self.pick(&[
            "SELEKT",
            "SELECT * FROM no_such_table",
            "SELECT no_such_column FROM t",
            "SELECT no_such_function(1)",
            "SELECT * FROM mysql.user",
            "INSERT INTO t (id) VALUES (1)",
            "INSERT INTO test.numbers VALUES (1000)",
            "SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'a warning'",
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '#12345 looks like a state', MYSQL_ERRNO = 4321",
            "SIGNAL SQLSTATE '02000'",
            "KILL 4294967295",
            "SELECT (SELECT n FROM test.numbers)",
            "DROP TABLE no_such_table",
            "SELECT 'not closed",
            "SELECT ?",
        ])
        .to_owned()
    }

    /// None are created or dropped, nor triggers: all sessions of a server would load theirs again, and say so where they track the schema.
    fn call(&mut self) -> String {
        self.pick(&[
            "CALL test.results(7)",
            "CALL test.nothing()",
            "CALL test.breaks()",
            "CALL test.walks()",
            "SET @io = 'inout'; CALL test.outs(3, @o, @io); SELECT @o, @io",
            "CALL test.outs(2, @o, @io)",
            "CALL no_such_procedure()",
            "CALL test.outs(1)",
            "SELECT test.twice(21)",
        ])
        .to_owned()
    }

    /// Statements that are prepared by text.
    fn text_statement(&mut self) -> String {
        self.pick(&[
            "PREPARE s FROM 'SELECT ?, ? + 1'",
            "PREPARE s FROM 'SELECT * FROM t ORDER BY id'",
            "PREPARE s FROM 'SELEKT'",
            "SET @a = 1, @b = 2; EXECUTE s USING @a, @b",
            "EXECUTE s",
            "EXECUTE s USING @a, @b",
            "DEALLOCATE PREPARE s",
            "EXECUTE IMMEDIATE 'SELECT 1, 2'",
        ])
        .to_owned()
    }

    fn table(&mut self) -> String {
        let permanent = [
            "CREATE TABLE u (id INT PRIMARY KEY, v VARCHAR(5))",
            "DROP TABLE u",
            "ALTER TABLE t ADD COLUMN d INT",
            "TRUNCATE TABLE t",
        ];
        let temporary = [
            "CREATE TEMPORARY TABLE tt (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(5))",
            "CREATE TEMPORARY TABLE t (x INT)",
            "INSERT INTO tt (v) VALUES ('1'), ('2'), ('3')",
            "SELECT * FROM tt ORDER BY id",
            "DROP TEMPORARY TABLE tt",
            "LOCK TABLES t WRITE",
            "LOCK TABLES t READ, test.numbers READ",
            "UNLOCK TABLES",
            "SELECT GET_LOCK(CONCAT('lock of ', CONNECTION_ID()), 0)",
            "SELECT RELEASE_ALL_LOCKS()",
            "HANDLER t OPEN",
            "HANDLER t READ FIRST",
            "HANDLER t READ NEXT LIMIT 2",
            "HANDLER t CLOSE",
        ];
        // The former take servers much longer.
        match self.below(6) {
            0 => self.pick(&permanent).to_owned(),
            _ => self.pick(&temporary).to_owned(),
        }
    }

    fn tracking(&mut self) -> String {
        // MySQL also counts statements in a variable.
        let all = match self.is_mariadb {
            true => "SET SESSION session_track_system_variables = '*'",
            false => "SET SESSION session_track_system_variables = 'no_such_variable'",
        };
        self.pick(&[
            all,
            "SET SESSION session_track_schema = ON",
            "SET SESSION session_track_schema = OFF",
            "SET SESSION session_track_system_variables = 'autocommit,sql_mode'",
            "SET SESSION session_track_transaction_info = 'CHARACTERISTICS'",
            "SET SESSION session_track_transaction_info = 'STATE'",
            "SET SESSION session_track_state_change = ON",
        ])
        .to_owned()
    }

    fn show(&mut self) -> String {
        self.pick(&[
            "SHOW COLUMNS FROM t",
            "SHOW COLUMNS FROM test.types",
            "SHOW TABLES",
            "SHOW CREATE TABLE t",
            "SHOW CREATE PROCEDURE test.outs",
            "SHOW VARIABLES LIKE 'sql\\_%'",
            "SHOW GRANTS",
            "DESCRIBE test.numbers",
            "CHECK TABLE t",
            "CHECKSUM TABLE t",
            "SHOW COLLATION LIKE 'latin1%'",
            "HELP 'SELECT'",
        ])
        .to_owned()
    }

    fn oddity(&mut self) -> String {
        let other = if self.is_mariadb {
            "/*M!100000 SELECT 'MariaDB' */"
        } else {
            "/*!80000 SELECT 'MySQL' */"
        };
        self.pick(&[
            "",
            " ",
            "# only a comment",
            "/* and */ SELECT /* another */ 1 -- one",
            "DO 1",
            "DO SLEEP(0)",
            "VALUES ROW(1, 2), ROW(3, 4)",
            "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
            "XA END 'x'",
            "XA ROLLBACK 'x'",
            "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END",
            "ANALYZE NO_WRITE_TO_BINLOG TABLE t",
            "RESET QUERY CACHE",
            "SELECT 1 INTO OUTFILE 'no'",
            other,
        ])
        .to_owned()
    }
}
