"""PyMySQL: the text protocol."""

import pymysql
from pymysql.constants import CLIENT

from dbapi import CA, HOST, PORT, USER, attempt, execute, results, session


def connect(password):
    tls = {"ssl_ca": CA, "ssl_verify_cert": True, "ssl_verify_identity": True}
    return pymysql.connect(
        host=HOST, port=PORT, user=USER, password=password, database=USER, autocommit=True,
        client_flag=CLIENT.MULTI_STATEMENTS, **(tls if CA else {"ssl_disabled": True}))


def more(connection):
    attempt("ping", lambda: connection.ping(reconnect=False))
    attempt("select_db", lambda: connection.select_db("missing"))
    cursor = connection.cursor()

    def call():
        cursor.callproc("half", (84, 0))
        results(cursor)

    attempt("callproc", call)
    attempt("executemany", lambda: cursor.executemany(
        "INSERT INTO words (word) VALUES (%s)", [("one",), ("two",), (None,)]))
    execute(connection.cursor(pymysql.cursors.SSCursor), "SELECT * FROM words ORDER BY id")


session(connect, more)
