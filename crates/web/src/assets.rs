//! The page: HTML, style and script, as they are in `assets/`. Scripts stand in files of their own: the policy allows no other.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

const PAGE: &str = include_str!("assets/page.html");
const LOGIN: &str = include_str!("assets/login.html");
const HOW_TO_TURN_IT_ON: &str = include_str!("assets/how_to_turn_it_on.html");

macro_rules! scripts {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("assets/js/", $name)))),*] };
}

/// By their paths under `/js/`.
const SCRIPTS: &[(&str, &str)] = scripts![
    "main.js",
    "live.js",
    "dom.js",
    "format.js",
    "table.js",
    "chart.js",
    "dialog.js",
    "views/overview.js",
    "views/sessions.js",
    "views/digests.js",
    "views/scripts.js",
    "views/events.js",
    "views/settings.js",
];

/// In the login's page, where a failure is told.
const FAILURE: &str = "<!-- failure -->";

pub(crate) fn page() -> Response {
    Html(PAGE).into_response()
}

/// Where there is no account.
pub(crate) fn how_to_turn_it_on() -> Response {
    Html(HOW_TO_TURN_IT_ON).into_response()
}

/// `failure` is a text of ours.
pub(crate) fn login_form(status: StatusCode, failure: Option<&'static str>) -> Response {
    let failure = failure.map_or_else(String::new, |text| {
        format!("<p class=\"failure\" id=\"failure\" role=\"alert\">{text}</p>")
    });
    (status, Html(LOGIN.replace(FAILURE, &failure))).into_response()
}

pub(crate) fn style() -> Response {
    typed("text/css; charset=utf-8", include_str!("assets/style.css"))
}

pub(crate) fn theme() -> Response {
    typed(
        "text/javascript; charset=utf-8",
        include_str!("assets/theme.js"),
    )
}

pub(crate) fn icon() -> Response {
    typed("image/svg+xml", include_str!("assets/icon.svg"))
}

/// A module of the page's script; `None` where there is none of this name.
pub(crate) fn script(name: &str) -> Option<Response> {
    let (_, text) = SCRIPTS.iter().find(|(script, _)| *script == name)?;
    Some(typed("text/javascript; charset=utf-8", text))
}

fn typed(content: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content)], text).into_response()
}
