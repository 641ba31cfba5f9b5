//! What an open page is told, by server-sent events: the past once, then the state of each second.
//!
//! Each stream knows only the latest state: one whose reader is slow leaves out what came between, and the HTTP server closes one
//! whose reader takes nothing.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use crate::access;
use crate::api::{overview, refusal};
use crate::limits::{STREAM_TIME, STREAMS_MAX};
use crate::router::Web;

/// One open page.
struct Reader {
    web: Arc<Web>,
    /// Of the login: when that ends, the stream does.
    token: String,
    overview: watch::Receiver<Arc<str>>,
    /// Events so far.
    said: usize,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

pub(crate) async fn get(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let Ok(place) = Arc::clone(&web.streams).try_acquire_owned() else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("{STREAMS_MAX} pages are open already; close one"),
        );
    };
    let reader = Reader {
        token: access::token(&headers).unwrap_or_default().to_owned(),
        overview: web.overview.subscribe(),
        said: 0,
        until: Instant::now() + STREAM_TIME,
        web,
        _place: place,
    };
    let events = unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    Sse::new(events).into_response()
}

impl Reader {
    /// `None` at the end of its time, or of the login's, or when another process has the port: the page is to ask that one.
    async fn next(&mut self) -> Option<Event> {
        self.said = self.said.saturating_add(1);
        let event = |name, text: &str| Some(Event::default().event(name).data(text));
        match self.said {
            1 => return event("history", &self.web.history.json().to_string()),
            2 => return event("overview", &overview::json(&self.web).to_string()),
            _ => {}
        }
        let changed = timeout_at(self.until, self.overview.changed());
        tokio::select! {
            changed = changed => changed.ok()?.ok()?,
            () = self.web.control.shutdown().handed_over() => return None,
        }
        if !self.web.is_open(&self.token) {
            return None;
        }
        let overview = Arc::clone(&self.overview.borrow_and_update());
        event("overview", &overview)
    }
}
