//! `docs/matrix.md`, and the short table of it in `README.md`.

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

const SUMMARY_HEAD: &str = "\
| client | MariaDB 10.11 | MariaDB 11.8 | MySQL 9.7 |
|---|---|---|---|
";

/// Writes the pages if they are not what was seen.
///
/// # Panics
/// When they were not.
#[track_caller]
pub(crate) fn check(rows: &[Row], verification: &[Row]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |page: &str| fs::read_to_string(root.join(page)).unwrap_or_default();
    let old = read("docs/matrix.md");
    let mut page = HEAD.to_owned();
    put_rows(&mut page, rows, &old);
    let summary = summary(&page);
    page.push_str(VERIFICATION);
    put_rows(&mut page, verification, &old);
    let old_readme = read("README.md");
    let readme = with_summary(&old_readme, &summary);
    for (name, old, new) in [
        ("docs/matrix.md", old, page),
        ("README.md", old_readme, readme),
    ] {
        if new != old {
            fs::write(root.join(name), new).expect("the directory is there");
            panic!("{name} was not what was seen; it has been written anew, commit it");
        }
    }
}

/// Of each client what all the cells of a server have in common, or the one that is not `ok`.
fn summary(page: &str) -> String {
    let mut rows: Vec<(&str, [&str; 3])> = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap_or_default();
        let name = name.trim_end_matches(", plain").trim_end_matches(", TLS");
        if rows.last().is_none_or(|row| row.0 != name) {
            rows.push((name, ["-"; 3]));
        }
        let Some((_, servers)) = rows.last_mut() else {
            continue;
        };
        for (number, cell) in cells.enumerate() {
            if let Some(server) = servers.get_mut(number / 3)
                && cell != "-"
                && matches!(*server, "-" | "ok")
            {
                *server = cell;
            }
        }
    }
    let mut table = SUMMARY_HEAD.to_owned();
    for (name, [a, b, c]) in rows {
        writeln!(table, "| {name} | {a} | {b} | {c} |").expect("a string takes all");
    }
    table
}

/// The page with this table in the place of the one that begins in the same way.
fn with_summary(page: &str, summary: &str) -> String {
    let (before, table) = page
        .split_once(SUMMARY_HEAD)
        .expect("README.md has the table");
    let after = table.split_once("\n\n").map_or("", |(_, after)| after);
    format!("{before}{summary}\n{after}")
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
