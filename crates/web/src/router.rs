//! The paths, and what stands in front of them.

use std::sync::Arc;

use admin::Configuration;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use proxy::Control;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::access;
use crate::api;
use crate::assets;
use crate::gates::Gates;
use crate::history::History;
use crate::limits::{SAMPLE_INTERVAL, STREAMS_MAX};
use crate::logins::Logins;
use crate::stream;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) configuration: Arc<dyn Configuration>,
    pub(crate) control: Control,
    pub(crate) logins: Logins,
    pub(crate) gates: Gates,
    pub(crate) history: History,
    /// What streams say next; nothing before the first sample.
    pub(crate) overview: watch::Sender<Arc<str>>,
    pub(crate) streams: Arc<Semaphore>,
}

/// All pages, for [`telemetry::Server::start`]: it needs a runtime to sample on. Where there is no account, there is no page; where
/// a reload brings one, there is.
pub fn router(configuration: Arc<dyn Configuration>, control: Control) -> Router {
    let web = Arc::new(Web {
        configuration,
        control,
        logins: Logins::default(),
        gates: Gates::new(),
        history: History::default(),
        overview: watch::Sender::new("".into()),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
    });
    tokio::spawn(sample(Arc::clone(&web)));
    let router = pages(web)
        .route("/style.css", get(|| async { assets::style() }))
        .route("/theme.js", get(|| async { assets::theme() }))
        .route("/icon.svg", get(|| async { assets::icon() }));
    router.layer(map_response(with_headers))
}

fn pages(web: Arc<Web>) -> Router {
    let page = Router::new()
        .route("/", get(|| async { assets::page() }))
        .route_layer(from_fn_with_state(Arc::clone(&web), access::page));
    let changes = Router::new()
        .route("/api/sessions/{id}/kill", post(api::sessions::kill))
        .route("/api/backends/{number}/{word}", post(api::backends::set))
        .route("/api/digests/reset", post(api::digests::reset))
        .route_layer(from_fn(access::change));
    let data = Router::new()
        .route("/api/overview", get(api::overview::get))
        .route("/api/history", get(api::overview::history))
        .route("/api/stream", get(stream::get))
        .route("/api/backends", get(api::backends::get))
        .route("/api/sessions", get(api::sessions::get))
        .route("/api/digests", get(api::digests::get))
        .route("/api/scripts", get(api::scripts::get))
        .route("/api/scripts/changes", get(api::scripts::changes))
        .route("/api/settings", get(api::settings::get))
        .route("/api/events", get(api::events::get))
        .merge(changes)
        .route_layer(from_fn_with_state(Arc::clone(&web), access::data));
    let log_out = Router::new()
        .route("/logout", post(access::log_out))
        .route_layer(from_fn(access::change));
    Router::new()
        .route("/login", get(access::form).post(access::log_in))
        .route("/js/{*name}", get(script))
        .merge(page)
        .merge(data)
        .merge(log_out)
        .with_state(web)
}

async fn script(Path(name): Path<String>) -> Result<Response, StatusCode> {
    assets::script(&name).ok_or(StatusCode::NOT_FOUND)
}

/// Once a second, to the end of the process.
async fn sample(web: Arc<Web>) {
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if web.configuration.account().is_none() {
            continue;
        }
        web.history.sample(&web.control);
        if web.overview.receiver_count() > 0 {
            let text = api::overview::json(&web).to_string();
            web.overview.send_replace(text.into());
        }
    }
}

/// What a browser may do with anything of ours: nothing but show it, and load our own style and script.
async fn with_headers(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
    const HEADERS: [(HeaderName, &str); 7] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not "no-referrer": browsers would call the origin of our own form "null".
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
