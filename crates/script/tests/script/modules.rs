//! The modules that come with the program.

mod chassis;
mod proxy_modules;
mod system;

use script::{Connection, api};

use crate::support::{Bench, CALCULATOR};

/// All that scripts of MySQL Proxy 0.8.5 may require, but what is written in C elsewhere.
const MODULES: &[&str] = &[
    "chassis",
    "glib2",
    "lfs",
    "mysql.password",
    "mysql.proto",
    "mysql.tokenizer",
    "posix",
    "proxy.auto-config",
    "proxy.balance",
    "proxy.commands",
    "proxy.parser",
    "proxy.test",
    "proxy.tokenizer",
];

/// A connection, and what runs Lua in it.
struct Scope {
    bench: Bench,
    connection: Box<Connection>,
}

impl Scope {
    fn new() -> Self {
        let mut bench = Bench::new(CALCULATOR);
        let connection = bench.open();
        Self { bench, connection }
    }

    /// Runs statements that raise an error where something is not as it should be.
    #[track_caller]
    fn run(&mut self, lua: &str) {
        let query = format!("(function() {lua}\nreturn 'no error' end)()");
        let answer = self.bench.answer(&mut self.connection, &query);
        assert_eq!(answer, "no error", "{lua}");
    }

    /// The value of an expression, or its error.
    fn value(&mut self, expression: &str) -> String {
        self.bench.answer(&mut self.connection, expression)
    }
}

#[test]
fn a_script_may_require_all_of_them() {
    let mut script = String::new();
    for module in MODULES {
        script += &format!("assert(type(require('{module}')) == 'table')\n");
    }
    let mut bench = Bench::new(&format!("{script}{CALCULATOR}"));
    bench.open();
    bench.open();
}

/// What a module has is declared, and what is declared is there.
#[test]
fn modules_are_what_they_declare() {
    let mut scope = Scope::new();
    for module in MODULES {
        let path = format!("require(\"{module}\")");
        let objects = api::objects();
        let object = objects.iter().find(|object| object.path == path);
        let object = object.unwrap_or_else(|| panic!("{module} is not declared"));
        let declared: Vec<_> = object.fields.iter().map(|field| field.name).collect();
        let mut names = declared.clone();
        names.sort_unstable();
        let found = scope.value(&format!(
            "(function()
               local names = {{}}
               for name in pairs({path}) do
                 if not name:find('^_') then names[#names + 1] = name end
               end
               table.sort(names)
               return table.concat(names, ' ')
             end)()"
        ));
        assert_eq!(found, names.join(" "), "{module}");
    }
}

#[test]
fn a_file_of_the_same_name_is_not_read() {
    let mut scope = Scope::new();
    std::fs::create_dir(scope.bench.directory.path().join("proxy")).unwrap();
    scope.bench.module("proxy/balance", "error('an old copy')");
    scope.run("assert(require('proxy.balance').idle_ro() == 0)");
}

#[test]
fn a_module_is_in_proxy_where_it_was_loaded() {
    let mut scope = Scope::new();
    scope.run(
        "assert(rawget(proxy, 'auto-config') == nil and proxy['auto-config'] == nil)
         local loaded = require('proxy.auto-config')
         assert(proxy['auto-config'] == loaded and package.loaded['proxy.auto-config'] == loaded)
         assert(require('proxy.auto-config') == loaded)",
    );
    scope.connection = scope.bench.open();
    scope.run("assert(proxy['auto-config'] == nil)");
}
