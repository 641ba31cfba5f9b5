"""mysqlclient: the text protocol by libmariadb."""

import MySQLdb
import MySQLdb.cursors

from dbapi import CA, HOST, PORT, USER, attempt, execute, results, session


def connect(password):
    tls = {"ssl": {"ca": CA}} if CA else {}
    return MySQLdb.connect(
        host=HOST, port=PORT, user=USER, passwd=password, db=USER, charset="utf8mb4", autocommit=True, **tls)


def more(connection):
    attempt("ping", connection.ping)
    attempt("select_db", lambda: connection.select_db("missing"))
    cursor = connection.cursor()

    def call():
        cursor.callproc("half", (84, 0))
        results(cursor)

    attempt("callproc", call)
    attempt("executemany", lambda: cursor.executemany(
        "INSERT INTO words (word) VALUES (%s)", [("one",), ("two",), (None,)]))
    execute(connection.cursor(MySQLdb.cursors.SSCursor), "SELECT * FROM words ORDER BY id")
    # The server hangs up after it.
    attempt("change_user", lambda: connection.change_user(USER, "wrong", USER))


session(connect, more)
