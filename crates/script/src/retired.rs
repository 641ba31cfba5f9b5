//! Names that older programs had, up to MySQL Proxy 0.6, and what took their place.

use crate::api::Retired;

/// In no order.
pub(crate) const RETIRED: &[Retired] = &[
    nil("mysql_proxy.Proxy", "servers", "proxy.global.backends"),
    nil("mysql_proxy.Proxy", "backends", "proxy.global.backends"),
    nil(
        "mysql_proxy.Proxy",
        "tokenize",
        "require(\"mysql.tokenizer\").tokenize",
    ),
    nil(
        "mysql_proxy.Connection",
        "address",
        "proxy.connection.client.src.name or proxy.connection.server.dst.name",
    ),
    raises(
        "mysql_proxy.Connection",
        "default_db",
        "proxy.connection.client.default_db or proxy.connection.server.default_db",
    ),
    raises(
        "mysql_proxy.Connection",
        "thread_id",
        "proxy.connection.client.thread_id or proxy.connection.server.thread_id",
    ),
    raises(
        "mysql_proxy.Connection",
        "mysqld_version",
        "proxy.connection.client.mysqld_version or proxy.connection.server.mysqld_version",
    ),
    raises("mysql_proxy.Socket", "address", ".src.name or .dst.name"),
    nil("mysql_proxy.Backend", "address", ".dst.name"),
    nil(
        "mysql_proxy.Backend",
        "idling_connections",
        ".pool.users[\"\"].cur_idle_connections",
    ),
];

const fn nil(class: &'static str, name: &'static str, instead: &'static str) -> Retired {
    let raises = false;
    Retired {
        class,
        name,
        instead,
        raises,
    }
}

const fn raises(class: &'static str, name: &'static str, instead: &'static str) -> Retired {
    Retired {
        raises: true,
        ..nil(class, name, instead)
    }
}

/// One that raises an error when a script reads it.
pub(crate) fn raising(class: &str, name: &str) -> Option<&'static Retired> {
    let mut retired = RETIRED.iter();
    retired.find(|retired| retired.raises && retired.class == class && retired.name == name)
}
