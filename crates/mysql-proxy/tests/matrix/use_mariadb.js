// MariaDB Connector/Node.js: the text and the binary protocol, and MariaDB's bulk commands.
"use strict";
const mariadb = require("mariadb");
const { attempt, large, options, password, session } = require("./client.js");

// Without TLS a server's RSA key has to be asked for.
const connect = (options) =>
  mariadb.createConnection({ ...options, metaAsArray: true, allowPublicKeyRetrieval: true, logParam: false, trace: false });

// Rows, and of each column what the server said.
function shown(result) {
  if (!Array.isArray(result)) return [result];
  const [rows, columns] = result;
  return [rows, (columns ?? []).flat().map((column) => column && [column.name?.(), column.type, column.columnLength, column.flags])];
}

async function more(connection) {
  const execute = (sql, values) => attempt(sql, async () => shown(await connection.execute(sql, values)));
  await execute("SELECT ?, ?, ?", [1, "ü", null]);
  await execute("SELECT ?, ?, ?", [2, "𝄞", 1.5]);
  await execute("SELECT * FROM types");
  await execute("SELECT LENGTH(?), 1", [large]);
  await execute("SELECT * FROM missing");
  await execute("CALL half(?, @c)", [84]);
  await execute("CALL half(?, ?)", [84, 0]);
  await execute("SELECT @c");
  await attempt("batch", () =>
    connection.batch("INSERT INTO words (word) VALUES (?)", [["one"], ["two"], [null]]));
  await execute("SELECT * FROM words ORDER BY id");
  await attempt("ping", () => connection.ping());
  await attempt("changeUser", () => connection.changeUser({ user: options.user, password, database: options.database }));
  await execute("SELECT DATABASE(), @c");
  await attempt("reset", () => connection.reset());
}

session(connect, async (connection, sql, values) => shown(await connection.query(sql, values)), more);
