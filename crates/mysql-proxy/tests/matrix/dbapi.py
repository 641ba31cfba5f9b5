"""What the Python programs of the matrix have in common: arguments HOST PORT USER PASSWORD CA, where `-` is no TLS,
and a line of JSON for each result. The database has the user's name."""

import hashlib
import json
import pathlib
import sys

HOST, PORT, USER, PASSWORD = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
CA = None if sys.argv[5] == "-" else sys.argv[5]
STATEMENTS = (pathlib.Path(__file__).parent / "statements.sql").read_text().splitlines()
LARGE = "2 MB! " * 349526


def plain(value):
    """A value that JSON has; long ones as their hash."""
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else repr(value)
    if len(text) > 1000:
        return [len(text), hashlib.sha256(text.encode()).hexdigest()]
    return text


def show(name, *what):
    print(json.dumps([name, *plain(what)]), flush=True)


def attempt(name, action):
    """Shows what the action returns or raises."""
    try:
        value = action()
    except Exception as error:
        show(name, type(error).__name__, str(error))
        return None
    show(name, "ok" if hasattr(value, "cursor") else value)
    return value


def results(cursor):
    """Shows everything that the last statement left."""
    while True:
        description = [column[:2] + column[4:] for column in cursor.description or []]
        rows = cursor.fetchall() if description else []
        show("result", description, cursor.rowcount, cursor.lastrowid, rows)
        if cursor.nextset() not in (True, 1):
            return


def execute(cursor, statement, *arguments):
    def run():
        cursor.execute(statement, *arguments)
        results(cursor)

    attempt(statement[:40], run)


def session(connect, more):
    """Logs in, runs the statements and what else the client has, logs in again, and with a wrong password."""
    connection = attempt("login", lambda: connect(PASSWORD))
    if connection is None:
        return
    cursor = connection.cursor()
    for statement in STATEMENTS:
        execute(cursor, statement)
    execute(cursor, "SELECT %s, LENGTH(%s)", (LARGE, LARGE))
    more(connection)
    connection.close()
    again = attempt("second login", lambda: connect(PASSWORD))
    if again is not None:
        cursor = again.cursor()
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        show("cipher", cursor.fetchall()[0][1])
        again.close()
    attempt("wrong password", lambda: connect("wrong"))
