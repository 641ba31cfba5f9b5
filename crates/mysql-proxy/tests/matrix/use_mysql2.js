// mysql2: the text and the binary protocol.
"use strict";
const mysql = require("mysql2/promise");
const { attempt, large, options, password, session } = require("./client.js");

const connect = (options) =>
  mysql.createConnection({ ...options, supportBigNumbers: true, bigNumberStrings: true, rowsAsArray: false });

// Rows, and of each column what the server said.
const shown = ([rows, fields]) => [
  rows,
  (fields ?? []).flat().map((field) => field && [field.name, field.columnType, field.columnLength, field.flags]),
];

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
  await attempt("ping", () => connection.ping());
  await attempt("changeUser", () => connection.changeUser({ user: options.user, password, database: options.database }));
  await execute("SELECT DATABASE(), @c");
}

session(connect, async (connection, sql, values) => shown(await connection.query(sql, values)), more);
