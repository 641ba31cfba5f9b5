"""MySQL Connector/Python, the implementation in Python: the text and the binary protocol."""

import mysql.connector

from dbapi import CA, HOST, LARGE, PASSWORD, PORT, USER, attempt, execute, session


def connect(password):
    tls = {"ssl_ca": CA, "ssl_verify_cert": True, "ssl_verify_identity": True}
    return mysql.connector.connect(
        host=HOST, port=PORT, user=USER, password=password, database=USER, autocommit=True, use_pure=True,
        consume_results=True,
        charset="utf8mb4", **(tls if CA else {"ssl_disabled": True}))


def more(connection):
    prepared = connection.cursor(prepared=True)
    for parameters in [(1, "ü", None), (2, "𝄞", 1.5)]:
        execute(prepared, "SELECT ?, ?, ?", parameters)
    # Not YEAR: it takes two bytes for one there and loses its place.
    execute(prepared, "SELECT a, b, f, g, h, i, j, m, n, o, p, r, s, v, w FROM types")
    execute(prepared, "SELECT LENGTH(?), 1", (LARGE,))
    execute(prepared, "SELECT * FROM missing")
    cursor = connection.cursor()
    attempt("callproc", lambda: cursor.callproc("half", (84, 0)))
    attempt("executemany", lambda: cursor.executemany(
        "INSERT INTO words (word) VALUES (%s)", [("one",), ("two",), (None,)]))
    attempt("ping", connection.ping)
    attempt("cmd_init_db", lambda: str(connection.cmd_init_db("missing")))
    attempt("cmd_reset_connection", connection.cmd_reset_connection)
    attempt("cmd_change_user", lambda: str(connection.cmd_change_user(
        username=USER, password=PASSWORD, database=USER)))
    execute(connection.cursor(), "SELECT DATABASE(), @b")


session(connect, more)
