//! The paths and their answers. Everything is read-only, and a name that a client asks for is either one of the existing
//! ones or not found.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sha1::{Digest as _, Sha1};

use super::archive::{Archive, Entry};
use super::make::{Absent, Day, Kind, ONLY};
use super::page;
use super::store::{Refusal, Store};

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The form of dates in headers.
const DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
/// How many bytes are read at a time.
const PIECE: u64 = 1 << 16;

/// The paths.
pub(super) fn paths(store: Arc<Store>) -> Router {
    Router::new()
        .route("/", get(|store, headers| only(store, headers, Kind::Page, HTML)))
        .route("/runs.json", get(|store, headers| only(store, headers, Kind::Runs, JSON)))
        .route("/summary.json", get(|store, headers| only(store, headers, Kind::Summary, JSON)))
        .route("/results.db", get(|store, headers| only(store, headers, Kind::Database, "application/vnd.sqlite3")))
        .route("/transfers.json", get(transfers))
        .route("/torperf", get(|| async { moved("torperf/") }))
        .route("/torperf/", get(|store, headers| index(store, headers, Kind::Torperf, "Torperf's files")))
        .route("/torperf/{name}", get(|store, headers, name| named(store, headers, Kind::Torperf, name)))
        .route("/onionperf", get(|| async { moved("onionperf/") }))
        .route("/onionperf/", get(|store, headers| index(store, headers, Kind::Onionperf, "OnionPerf's analyses")))
        .route("/onionperf/{name}", get(|store, headers, name| named(store, headers, Kind::Onionperf, name)))
        .fallback(|| async { nothing() })
        .layer(middleware::from_fn(guarded))
        .with_state(store)
}

/// Lets through only GET and HEAD, and tells browsers to do nothing with answers but show them.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => next.run(request).await,
        _ => {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    };
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn only(State(store): State<Arc<Store>>, headers: HeaderMap, kind: Kind, content_type: &'static str) -> Response {
    match store.get(kind).await {
        Ok(archive) => file(&archive, ONLY, &headers, content_type),
        Err(refusal) => refused(&refusal),
    }
}

async fn transfers(store: State<Arc<Store>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let day = query.as_deref().and_then(|query| query.strip_prefix("day=")).and_then(Day::parse);
    match day {
        Some(day) => only(store, headers, Kind::Transfers(day), JSON).await,
        None => text(StatusCode::BAD_REQUEST, "expected a day in UTC: transfers.json?day=YYYY-MM-DD\n"),
    }
}

async fn index(State(store): State<Arc<Store>>, headers: HeaderMap, kind: Kind, title: &'static str) -> Response {
    let archive = match store.get(kind).await {
        Ok(archive) => archive,
        Err(refusal) => return refused(&refusal),
    };
    let body = page::index(title, &archive);
    let digest: [u8; 20] = Sha1::digest(body.as_bytes()).into();
    let tag: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let modified = archive.entries.values().map(|entry| entry.modified).max().unwrap_or_default();
    let entry = Entry { offset: 0, bytes: body.len() as u64, tag: format!("\"{tag}\""), modified };
    known(&entry, &headers).unwrap_or_else(|| found(&entry, HTML, Body::from(body)))
}

async fn named(
    State(store): State<Arc<Store>>,
    headers: HeaderMap,
    kind: Kind,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let Ok(Path(name)) = name else { return nothing() };
    match store.get(kind).await {
        Ok(archive) => file(&archive, &name, &headers, content_type(&name)),
        Err(refusal) => refused(&refusal),
    }
}

fn content_type(name: &str) -> &'static str {
    if name.ends_with(".xz") { "application/x-xz" } else { TEXT }
}

/// A file of an archive; or the answer that there is none of this name, or that the client has it already.
fn file(archive: &Arc<Archive>, name: &str, headers: &HeaderMap, content_type: &'static str) -> Response {
    let Some(entry) = archive.entries.get(name) else { return nothing() };
    let body = || Body::new(Pieces { archive: Arc::clone(archive), at: entry.offset, end: entry.offset + entry.bytes });
    known(entry, headers).unwrap_or_else(|| found(entry, content_type, body()))
}

fn found(entry: &Entry, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, header::CONTENT_LENGTH, &entry.bytes.to_string());
    set_version(&mut response, entry);
    response
}

/// The answer where the client has it already; none where it has not.
fn known(entry: &Entry, headers: &HeaderMap) -> Option<Response> {
    let of = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let is_known = match of(header::IF_NONE_MATCH) {
        Some(tags) => tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == entry.tag),
        None => of(header::IF_MODIFIED_SINCE).and_then(seconds).is_some_and(|since| entry.modified <= since),
    };
    is_known.then(|| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        set_version(&mut response, entry);
        response
    })
}

/// Reads a date of a header, as seconds since 1970.
fn seconds(date: &str) -> Option<i64> {
    let date = jiff::civil::DateTime::strptime(DATE, date).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

fn set_version(response: &mut Response, entry: &Entry) {
    set(response, header::ETAG, &entry.tag);
    // The client may keep it, but has to ask each time whether it has changed.
    set(response, header::CACHE_CONTROL, "no-cache");
    if let Ok(at) = jiff::Timestamp::from_second(entry.modified) {
        set(response, header::LAST_MODIFIED, &at.strftime(DATE).to_string());
    }
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn text(status: StatusCode, words: &'static str) -> Response {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, TEXT);
    response
}

fn nothing() -> Response {
    text(StatusCode::NOT_FOUND, "there is nothing with this name\n")
}

fn moved(to: &str) -> Response {
    let mut response = text(StatusCode::PERMANENT_REDIRECT, "");
    set(&mut response, header::LOCATION, to);
    response
}

fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Absent(Absent::Nothing(words)) => text(StatusCode::NOT_FOUND, words),
        // The reason is reported to the operator, not to strangers.
        Refusal::Absent(Absent::Failed(_)) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, "this cannot be made of the results; the server's standard error says why\n")
        }
        Refusal::Busy => {
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "the server is busy with other requests; try again\n");
            set(&mut response, header::RETRY_AFTER, "10");
            response
        }
    }
}

/// A part of a file, read piece by piece as the client takes it.
///
/// It is read where it is sent, without another thread: it was written a short while ago, so most of it is in memory.
struct Pieces {
    archive: Arc<Archive>,
    at: u64,
    end: u64,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let length = PIECE.min(self.end - self.at);
        if length == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; length as usize];
        let read = self.archive.file.read_exact_at(&mut piece, self.at);
        self.at += length;
        Poll::Ready(Some(read.map(|()| Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Making;

    #[test]
    fn a_name_is_one_of_those_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        let mut making = Making::begin(folder.path()).unwrap();
        making.add("here-51200-2026-11-29.tpf", &b"@type torperf 1.1\n"[..]).unwrap();
        let archive = Arc::new(making.finish(None, 0).unwrap());
        let status = |name: &str| file(&archive, name, &HeaderMap::new(), TEXT).status().as_u16();
        assert_eq!(status("here-51200-2026-11-29.tpf"), 200);
        let long = "x".repeat(1 << 20);
        let names =
            ["", ".", "..", "../secret", "secret", "/etc/passwd", "a\0b", "here-51200-2026-11-29.tpf/", &long, "archive", "*"];
        for name in names {
            assert_eq!(status(name), 404, "{name:?}");
        }
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let entry = Entry { offset: 0, bytes: 1, tag: "\"a\"".to_owned(), modified: 1_795_910_400 };
        let is_known = |name: HeaderName, value: &str| {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
            known(&entry, &headers).is_some()
        };
        for tags in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_known(header::IF_NONE_MATCH, tags), "{tags}");
        }
        assert!(!is_known(header::IF_NONE_MATCH, "\"b\"") && !is_known(header::IF_NONE_MATCH, "a"));
        let dates =
            ["Sun, 29 Nov 2026 00:00:00 GMT", "Mon, 30 Nov 2026 00:00:00 GMT", "Sat, 28 Nov 2026 23:59:59 GMT", "yesterday"];
        assert_eq!(dates.map(|date| is_known(header::IF_MODIFIED_SINCE, date)), [true, true, false, false]);
    }
}
