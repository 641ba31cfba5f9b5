//! `mysql_async`: the text and the binary protocol, without TLS.

use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use mysql_async::{
    ChangeUserOpts, Conn, Error, OptsBuilder, QueryResult, Row, Value,
    prelude::{Protocol, Queryable},
};

use crate::clients::{DEADLINE, PASSWORD, Target, statements};

/// Does everything that is asked of a client and tells it.
pub(crate) fn run(target: &Target<'_>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let mut told = String::new();
    let everything = async { tokio::time::timeout(DEADLINE, session(target, &mut told)).await };
    match runtime.block_on(everything) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tell(&mut told, &format!("ended: {error}")),
        Err(_) => tell(&mut told, "ended: nothing came in time"),
    }
    told
}

fn tell(told: &mut String, line: &str) {
    writeln!(told, "{line}").expect("a string takes everything");
}

async fn session(target: &Target<'_>, told: &mut String) -> Result<(), Error> {
    let options = |password| {
        OptsBuilder::default()
            .ip_or_hostname(target.address.ip().to_string())
            .tcp_port(target.address.port())
            .user(Some(target.user))
            .pass(Some(password))
            .db_name(Some(target.user))
            .prefer_socket(false)
    };
    let mut connection = Conn::new(options(PASSWORD)).await?;
    for sql in statements().lines() {
        query(&mut connection, sql, told).await;
    }
    let large: String = "2 MB! ".repeat(349_526);
    let sql = format!("SELECT '{large}', LENGTH('{large}')");
    query(&mut connection, &sql, told).await;
    for parameters in [
        vec![1.into(), "ü".into(), Value::NULL],
        vec![2.into(), "𝄞".into(), 1.5.into()],
    ] {
        execute(&mut connection, "SELECT ?, ?, ?", parameters, told).await;
    }
    execute(&mut connection, "SELECT * FROM types", vec![], told).await;
    execute(
        &mut connection,
        "SELECT LENGTH(?), 1",
        vec![large.into()],
        told,
    )
    .await;
    execute(&mut connection, "SELECT * FROM missing", vec![], told).await;
    let arguments = vec![84.into(), 0.into()];
    execute(&mut connection, "CALL half(?, ?)", arguments, told).await;
    connection.ping().await?;
    let is_reset = connection.reset().await?;
    tell(told, &format!("reset: {is_reset}"));
    connection.change_user(ChangeUserOpts::default()).await?;
    query(&mut connection, "SELECT DATABASE(), @b", told).await;
    connection.disconnect().await?;

    let mut connection = Conn::new(options(PASSWORD)).await?;
    let sql = "SHOW SESSION STATUS LIKE 'Ssl_cipher'";
    let cipher: Option<(String, String)> = connection.query_first(sql).await?;
    tell(
        told,
        &format!("[\"cipher\", {:?}]", cipher.unwrap_or_default().1),
    );
    connection.disconnect().await?;
    let wrong = Conn::new(options("wrong")).await.err();
    tell(told, &format!("wrong password: {wrong:?}"));
    Ok(())
}

async fn query(connection: &mut Conn, sql: &str, told: &mut String) {
    told.extend(sql.chars().take(40).chain(['\n']));
    let results = match connection.query_iter(sql).await {
        Ok(results) => tell_all(results, told).await,
        Err(error) => Err(error),
    };
    if let Err(error) = results {
        tell(told, &error.to_string());
    }
}

async fn execute(connection: &mut Conn, sql: &str, parameters: Vec<Value>, told: &mut String) {
    tell(told, sql);
    let results = match connection.exec_iter(sql, parameters).await {
        Ok(results) => tell_all(results, told).await,
        Err(error) => Err(error),
    };
    if let Err(error) = results {
        tell(told, &error.to_string());
    }
}

/// Every result with its columns' types and what its OK says.
async fn tell_all<P: Protocol>(
    mut results: QueryResult<'_, '_, P>,
    told: &mut String,
) -> Result<(), Error> {
    while !results.is_empty() {
        let columns = results.columns();
        for column in columns.iter().flat_map(|columns| columns.iter()) {
            let described = (
                column.name_str(),
                column.column_type(),
                column.flags(),
                column.column_length(),
            );
            tell(told, &format!("{described:?}"));
        }
        if columns.is_none_or(|columns| columns.is_empty()) {
            let counts = (results.affected_rows(), results.last_insert_id());
            let (warnings, info) = (results.warnings(), results.info());
            tell(told, &format!("{counts:?}, {warnings} warnings, {info}"));
        }
        for row in results.collect::<Row>().await? {
            let values: Vec<_> = row.unwrap_raw().iter().map(short).collect();
            tell(told, &values.join(", "));
        }
    }
    Ok(())
}

/// A long value as its length and hash.
fn short(value: &Option<Value>) -> String {
    let text = format!("{value:?}");
    if text.len() <= 1000 {
        return text;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{} bytes, {:x}", text.len(), hasher.finish())
}
