//! The reference for script authors and the annotations for their editors, made of what the code declares. A test that finds
//! a file different writes it, and fails: run it again and commit the file.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use script::api::{self, Access, Field, HookDeclaration, Object};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn check(file: &str, expected: &str) {
    let path = root().join(file);
    if fs::read_to_string(&path).ok().as_deref() != Some(expected) {
        fs::write(&path, expected).expect("the directory is there");
        panic!("{file} was not what the code declares; it has been written anew, commit it");
    }
}

#[test]
fn the_reference_is_what_the_code_declares() {
    check("docs/scripting-reference.md", &reference());
}

#[test]
fn the_annotations_are_what_the_code_declares() {
    let text = annotations();
    // All of it is comments and tables: Lua has to read it as well.
    mlua::Lua::new()
        .load(&text)
        .set_name("mysql-proxy.lua")
        .exec()
        .expect("it is Lua");
    check("lua/types/mysql-proxy.lua", &text);
}

fn reference() -> String {
    let mut page = String::from(
        "# Scripting reference\n\n\
         Everything that a script sees. [scripting.md](scripting.md) tells how to use it; `lua/types/mysql-proxy.lua` has the\n\
         same for editors with the Lua language server. This page is made from the program's source.\n\n\
         ## Hooks\n\n\
         Global functions of the script, looked up by name each time. Only the first return value counts, if it is a number or\n\
         reads as one. `PROXY_SEND_RESULT` stands for `proxy.PROXY_SEND_RESULT`.\n",
    );
    for hook in api::hooks() {
        put_hook(&mut page, &hook);
    }
    page.push_str("\n## Objects\n\nFields that are not marked can only be read; writing them raises an error.\n");
    for object in api::objects() {
        put_object(&mut page, &object);
    }
    page.push_str("\n## Constants\n\nAll in `proxy`.\n");
    for constants in api::constants() {
        let names = constants.values.iter();
        let names: Vec<_> = names
            .map(|(name, value)| format!("`{name}` {value}"))
            .collect();
        let _ = write!(
            page,
            "\n{}\n\n{}\n",
            constants.text,
            wrapped(&names.join(", "), 0)
        );
    }
    page
}

fn put_hook(page: &mut String, hook: &HookDeclaration) {
    let _ = write!(
        page,
        "\n### {}({})\n\n| | |\n|---|---|\n",
        hook.name,
        hook.parameter_names()
    );
    let mut row = |title: &str, text: &str| {
        let _ = writeln!(page, "| {title} | {} |", cell(text));
    };
    row("called", hook.when);
    row("may read and change", hook.uses);
    for (value, effect) in hook.returns {
        row(&format!("returns {value}"), effect);
    }
    row("on an error", hook.on_error);
}

fn put_object(page: &mut String, object: &Object) {
    let paths: Vec<_> = object
        .path
        .split(", ")
        .map(|path| format!("`{path}`"))
        .collect();
    let _ = write!(
        page,
        "\n### {}\n\n{}\n\n| field | type | |\n|---|---|---|\n",
        paths.join(", "),
        wrapped(object.text, 0)
    );
    for field in object.fields {
        let access = match field.access {
            Access::Read => "",
            Access::ReadWrite => "May be written. ",
            Access::Write => "Can only be written. ",
        };
        let lua_type = field.lua_type.replace("mysql_proxy.", "");
        let text = format!("{access}{}", field.text);
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} |",
            field.name,
            cell(&lua_type),
            cell(&text)
        );
    }
}

/// A `|` would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Lines of at most 120 characters, the later ones indented.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if !line.is_empty() && indent + line.len() + 1 + word.len() > 120 {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

fn annotations() -> String {
    let mut file = String::from(
        "---@meta\n\n\
         -- What mysql-proxy gives to scripts, for the Lua language server: add the directory of this file to\n\
         -- `workspace.library`. Made from the program's source.\n",
    );
    for object in api::objects() {
        put_class(&mut file, &object);
    }
    file.push_str("\n---@type mysql_proxy.Proxy\nproxy = {}\n");
    for hook in api::hooks() {
        put_hook_alias(&mut file, &hook);
    }
    file
}

fn put_class(file: &mut String, object: &Object) {
    let _ = write!(file, "\n--- {}\n---@class {}\n", object.text, object.class);
    for field in object.fields {
        put_field(file, field);
    }
    if object.path == "proxy" {
        for constants in api::constants() {
            for (name, value) in constants.values {
                let _ = writeln!(file, "---@field {name} {value}");
            }
        }
    }
}

fn put_field(file: &mut String, field: &Field) {
    let Field {
        name,
        lua_type,
        text,
        ..
    } = field;
    let _ = writeln!(file, "---@field {name} {lua_type} {text}");
}

fn put_hook_alias(file: &mut String, hook: &HookDeclaration) {
    let parameters = hook.parameters.iter();
    let parameters: Vec<_> = parameters
        .map(|(name, lua_type)| format!("{name}: {lua_type}"))
        .collect();
    let _ = write!(
        file,
        "\n--- {}\n---@alias mysql_proxy.hook.{} fun({}): integer?\n",
        hook.when,
        hook.name,
        parameters.join(", ")
    );
}
