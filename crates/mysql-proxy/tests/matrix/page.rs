//! `docs/matrix.md`.

use std::{fmt::Write, fs, path::Path};

/// What the row is about, and its cells. `None` was not seen here: it stays as it was.
pub(crate) type Row = (String, Vec<Option<String>>);

const HEAD: &str = "\
# Clients and servers

Clients that people use, through the proxy, to servers that people use. Each cell is a client that logs in with an account that
the server has not seen yet, runs the same statements as without the proxy, logs in again and is refused with a wrong password. It
is `ok` where every line that the client prints is the same as without the proxy: NULLs, all common types, Unicode, several
results, errors, a transaction, a stored procedure, values of 2 MB, and where the client has them prepared statements, bulk
commands, change of user and reset. A test makes this page (`cargo test -p mysql-proxy --test matrix`); it fails where something
differs.

The columns of a server are the proxy's side of it: `plain` is `--server-ssl-mode=DISABLED`, `TLS` is `REQUIRED`, `passed` is
`--client-ssl-mode=PASSTHROUGH`. Rows with TLS are clients that verify the certificate by `--ssl-ca` or what they have like it.

* `ok, warm`: ok, once the server has the password in its cache. Before that this client cannot log in without TLS, with the proxy
  as without.
* `-`: there is no such thing. Without TLS there is nothing to pass through; `mysql_async` is built without TLS here.

| client | MariaDB 10.11: plain | TLS | passed | MariaDB 11.8: plain | TLS | passed | MySQL 9.7: plain | TLS | passed |
|---|---|---|---|---|---|---|---|---|---|
";

const VERIFICATION: &str = "
## Clients that verify certificates by default

MariaDB's clients do since 11.4. Here the `mariadb` 11.8 command line, without a TLS option unless the row has one, to
MariaDB 11.8. It verifies nothing where the proxy is at 127.0.0.1; here it is at 127.0.0.2.

| certificate of the proxy | the client |
|---|---|
";

/// Writes the page if it is not what was seen.
///
/// # Panics
/// When it was not.
#[track_caller]
pub(crate) fn check(rows: &[Row], verification: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/matrix.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let mut page = HEAD.to_owned();
    put_rows(&mut page, rows, &old);
    page.push_str(VERIFICATION);
    put_rows(&mut page, verification, &old);
    if page != old {
        fs::write(&path, page).expect("the directory is there");
        panic!("docs/matrix.md was not what was seen; it has been written anew, commit it");
    }
}

fn put_rows(page: &mut String, rows: &[Row], old: &str) {
    for (name, cells) in rows {
        let start = format!("| {name} | ");
        let old = old.lines().find_map(|line| line.strip_prefix(&start));
        let mut old = old.unwrap_or_default().split(" | ");
        page.push_str(start.trim_end());
        for cell in cells {
            let old = old.next().unwrap_or("not tried").trim_end_matches(" |");
            write!(page, " {} |", cell.as_deref().unwrap_or(old)).expect("a string takes all");
        }
        page.push('\n');
    }
}
