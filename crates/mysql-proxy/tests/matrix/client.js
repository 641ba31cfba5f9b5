// What the programs of the matrix for Node.js have in common: arguments HOST PORT USER PASSWORD CA, where `-` is no TLS,
// and a line of JSON for each result. The database has the user's name.
"use strict";
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const [host, port, user, password, ca] = process.argv.slice(2);
const statements = fs.readFileSync(path.join(__dirname, "statements.sql"), "utf8").trimEnd().split("\n");
const large = "2 MB! ".repeat(349526);
const options = { host, port: Number(port), user, database: user, multipleStatements: true };
if (ca !== "-") options.ssl = { ca: fs.readFileSync(ca), rejectUnauthorized: true };

// Long values as their hash.
function plain(key, value) {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "string" || value.length <= 1000) return value;
  return [value.length, crypto.createHash("sha256").update(value).digest("hex")];
}

function show(...what) {
  console.log(JSON.stringify(what, plain));
}

// Shows what the action gives or throws.
async function attempt(name, action) {
  try {
    show(name.slice(0, 40), await action());
    return true;
  } catch (error) {
    // Without the connection's number, which is another each time.
    const message = error.message.replace(/conn:\d+/, "conn");
    show(name.slice(0, 40), error.code, error.errno, error.sqlState, message);
    return false;
  }
}

// Logs in, runs the statements and what else the client has, logs in again, and with a wrong password.
// connect(options) resolves to a connection, query(connection, sql, values) to what is to be shown.
async function session(connect, query, more) {
  let connection;
  const login = (password) => async () => {
    connection = await connect({ ...options, password });
    return "ok";
  };
  if (!(await attempt("login", login(password)))) return;
  for (const sql of statements) await attempt(sql, () => query(connection, sql));
  await attempt("large", () => query(connection, "SELECT ?, LENGTH(?)", [large, large]));
  await more(connection);
  await connection.end();
  if (await attempt("second login", login(password))) {
    const rows = await query(connection, "SHOW SESSION STATUS LIKE 'Ssl_cipher'");
    show("cipher", rows[0][0].Value ?? rows[0].Value);
    await connection.end();
  }
  await attempt("wrong password", login("wrong"));
}

module.exports = { attempt, large, options, password, session };
