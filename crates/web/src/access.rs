//! Who may: a login by form and cookie, and requests that come from our own page.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use telemetry::Peer;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::api::refusal;
use crate::assets;
use crate::limits::{BODY_TIME, FORM_BYTES_MAX, LOGIN_TIME, TURN_TIME};
use crate::router::Web;

/// What a browser says of the page that sends a request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Lets a request for the page pass, or shows the way to the login, or to an account.
pub(crate) async fn page(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    if web.configuration.account().is_none() {
        return assets::how_to_turn_it_on();
    }
    match web.is_logged_in(request.headers()) {
        true => next.run(request).await,
        false => Redirect::to("/login").into_response(),
    }
}

/// Lets a request for data pass.
pub(crate) async fn data(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    if web.configuration.account().is_none() {
        return no_account();
    }
    match web.is_logged_in(request.headers()) {
        true => next.run(request).await,
        false => refusal(StatusCode::UNAUTHORIZED, "log in first, at /login"),
    }
}

fn no_account() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "the page is off: it needs --admin-username and --admin-password",
    )
}

/// Lets a request pass that changes something: our own page sent it, and nobody else's.
pub(crate) async fn change(request: Request, next: Next) -> Response {
    match is_from_our_page(request.headers()) {
        Some(true) => next.run(request).await,
        _ => refusal(
            StatusCode::FORBIDDEN,
            "refused: it does not come from the proxy's own page; without a browser, send the header Origin too",
        ),
    }
}

/// What the browser says; `None` where nobody says anything, which browsers do not.
fn is_from_our_page(headers: &HeaderMap) -> Option<bool> {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return Some(site == "same-origin");
    }
    let origin = headers.get(header::ORIGIN)?.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let (_, origin) = origin.split_once("://").unwrap_or_default();
    Some(host == Some(origin.as_bytes()))
}

/// The form.
pub(crate) async fn form(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    match (web.configuration.account(), web.is_logged_in(&headers)) {
        (None, _) => no_account(),
        (_, true) => Redirect::to("/").into_response(),
        (_, false) => assets::login_form(StatusCode::OK, None),
    }
}

/// The form, filled in.
pub(crate) async fn log_in(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if is_from_our_page(&headers) == Some(false) {
        warn!(
            "web: a login from {} came from another site's page; refused",
            peer
        );
        return refusal(
            StatusCode::FORBIDDEN,
            "refused: another site's page sent it",
        );
    }
    let (username, password) = match fields(body).await {
        Ok(fields) => fields,
        Err(status) => return refusal(status, "a form with username and password is expected"),
    };
    let Some(turn) = web
        .gates
        .turn(peer.address.map(|address| address.ip()))
        .await
    else {
        warn!(
            "web: a login from {} waited behind wrong ones for {TURN_TIME:?}; refused",
            peer
        );
        let text = "Too many wrong logins from your address. Wait a little and try again.";
        return assets::login_form(StatusCode::TOO_MANY_REQUESTS, Some(text));
    };
    let Some(account) = web.configuration.account() else {
        return no_account();
    };
    if !account.is(username.as_bytes(), password.as_bytes()) {
        warn!("web: login from {} failed: wrong name or password", peer);
        turn.denied().await;
        let text = "Wrong name or password.";
        return assets::login_form(StatusCode::UNAUTHORIZED, Some(text));
    }
    let token = match web.logins.open(account, Instant::now()) {
        Ok(token) => token,
        Err(error) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    info!("web: the operator logged in from {}", peer);
    let cookie = cookie(&cookie_name(&headers), &token, LOGIN_TIME.as_secs(), peer);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

pub(crate) async fn log_out(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let name = cookie_name(&headers);
    if let Some(token) = token(&headers) {
        web.logins.close(token, Instant::now());
        info!("web: the operator at {} logged out", peer);
    }
    let cookie = cookie(&name, "", 0, peer);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}

/// Name and password, empty where there is none.
async fn fields(body: Body) -> Result<(String, String), StatusCode> {
    let body = timeout(BODY_TIME, to_bytes(body, FORM_BYTES_MAX)).await;
    let body = body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let mut fields = (String::new(), String::new());
    for (name, value) in form_urlencoded::parse(&body) {
        match &*name {
            "username" => fields.0 = value.into_owned(),
            "password" => fields.1 = value.into_owned(),
            _ => {}
        }
    }
    Ok(fields)
}

impl Web {
    pub(crate) fn is_logged_in(&self, headers: &HeaderMap) -> bool {
        token(headers).is_some_and(|token| self.is_open(token))
    }

    /// It is the token of somebody who is logged in, to the account that there is now.
    pub(crate) fn is_open(&self, token: &str) -> bool {
        let account = self.configuration.account();
        account.is_some_and(|account| self.logins.is_open(token, &account, Instant::now()))
    }
}

/// What the browser shows. It may send other cookies of this host, too.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(headers);
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(cookie, _)| *cookie == name)
        .map(|(_, token)| token)
}

/// Browsers keep cookies by host: the port makes them those of one of several proxies there.
fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let uri = host.and_then(|host| host.parse::<Uri>().ok());
    let port = uri.and_then(|uri| uri.port_u16());
    port.map_or_else(
        || "mysql-proxy".to_owned(),
        |port| format!("mysql-proxy-{port}"),
    )
}

fn cookie(name: &str, token: &str, seconds: u64, peer: Peer) -> String {
    let secure = if peer.is_secure { "; Secure" } else { "" };
    format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pairs = list.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }

    #[test]
    fn only_our_own_page_is_ours() {
        let host = ("host", "127.0.0.1:8080");
        for (others, expected) in [
            (&[][..], None),
            (&[("sec-fetch-site", "same-origin")], Some(true)),
            (&[("sec-fetch-site", "same-site")], Some(false)),
            (&[("sec-fetch-site", "none")], Some(false)),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://127.0.0.1:8080"),
                ],
                Some(false),
            ),
            (&[("origin", "http://127.0.0.1:8080")], Some(true)),
            (&[("origin", "https://127.0.0.1:8080")], Some(true)),
            (&[("origin", "http://127.0.0.1:8081")], Some(false)),
            (&[("origin", "http://evil.example")], Some(false)),
            (&[("origin", "null")], Some(false)),
            (&[("origin", "")], Some(false)),
        ] {
            let all = [&[host], others].concat();
            assert_eq!(is_from_our_page(&headers(&all)), expected, "{others:?}");
        }
        assert_eq!(
            is_from_our_page(&headers(&[("origin", "null")])),
            Some(false)
        );
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let of = |host: &str, cookie: &str| {
            let headers = headers(&[("host", host), ("cookie", cookie)]);
            token(&headers).map(str::to_owned)
        };
        let cookies = "a=b; mysql-proxy-80=x; mysql-proxy-8080=y ;mysql-proxy=z; c";
        assert_eq!(of("h:8080", cookies).as_deref(), Some("y"));
        assert_eq!(of("h", cookies).as_deref(), Some("z"));
        assert_eq!(of("[::1]:80", cookies).as_deref(), Some("x"));
        assert_eq!(of("h:1", cookies), None);
        assert_eq!(of("%", "="), None);
    }
}
