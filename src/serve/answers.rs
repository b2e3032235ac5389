//! The paths and their answers. Everything is read-only, and a requested name is either one of the existing names or not
//! found.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sha1::{Digest as _, Sha1};

use super::absent::Absent;
use super::archive::{Archive, Entry};
use super::live::{self, Events};
use super::make::{DATA, Day, Kind, ONLY, PAGE};
use super::query::Query;
use super::results::name_of;
use super::site::Site;
use super::store::{Refusal, Store};
use super::{comparison, files, history, page};

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const SQLITE: &str = "application/vnd.sqlite3";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The content type that Prometheus expects.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The format of dates in headers.
const DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
/// How many bytes are read at a time.
const PIECE: u64 = 1 << 16;
/// What browsers may do with an answer: show it, with scripts from this server only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Makes the handler of a path.
type Answer = fn() -> MethodRouter<Arc<Site>>;

/// The paths of each experiment. If several are served, they are below [`ONE`].
const EXPERIMENT: &[(&str, Answer)] = &[
    ("/runs", || get(list)),
    ("/runs.json", || get(async |at: At| only(&at, Kind::Runs, JSON).await)),
    ("/list.json", || get(async |at: At| only(&at, Kind::Heads, JSON).await)),
    ("/summary.json", || get(async |at: At| only(&at, Kind::Summary, JSON).await)),
    ("/results.db", || get(async |at: At| only(&at, Kind::Database, SQLITE).await)),
    ("/latest", || get(async || moved("latest/"))),
    ("/latest/", || get(latest)),
    ("/latest/{*rest}", || get(latest)),
    ("/runs/{run}", || get(async |at: At| moved(&format!("{}/", at.name("run"))))),
    ("/runs/{run}/", || get(report)),
    ("/runs/{run}/summary.json", || get(async |at: At| only(&at, Kind::SummaryOf(at.name("run").to_owned()), JSON).await)),
    ("/runs/{run}/results.db", || get(async |at: At| only(&at, Kind::DatabaseOf(at.name("run").to_owned()), SQLITE).await)),
    ("/runs/{run}/files", || get(async || moved("files/"))),
    ("/runs/{run}/files/", || get(async |at: At| only(&at, Kind::Files(at.name("run").to_owned()), HTML).await)),
    ("/runs/{run}/files/{*name}", || get(raw)),
    ("/compare", || get(async |at: At| compared(&at, PAGE, HTML).await)),
    ("/compare.json", || get(async |at: At| compared(&at, DATA, JSON).await)),
    ("/history", || get(async |at: At| over_runs(&at, PAGE, HTML).await)),
    ("/history.json", || get(async |at: At| over_runs(&at, DATA, JSON).await)),
    ("/live", || get(async |_: At| made(page::live(), HTML))),
    ("/live.js", || get(async || made(Ok(include_str!("templates/live.js").to_owned()), SCRIPT))),
    ("/live.json", || get(async |at: At| made(Ok(live::now(&at.store)), JSON))),
    ("/live/events", || get(events)),
    ("/transfers.json", || get(transfers)),
    ("/torperf", || get(async || moved("torperf/"))),
    ("/torperf/", || get(async |at: At| index(&at, Kind::Torperf, "Torperf's files").await)),
    ("/torperf/{name}", || get(async |at: At| named(&at, Kind::Torperf, at.name("name"), content_type(at.name("name"))).await)),
    ("/onionperf", || get(async || moved("onionperf/"))),
    ("/onionperf/", || get(async |at: At| index(&at, Kind::Onionperf, "OnionPerf's analyses").await)),
    ("/onionperf/{name}", || {
        get(async |at: At| named(&at, Kind::Onionperf, at.name("name"), content_type(at.name("name"))).await)
    }),
];
/// The path of an experiment, if there are several.
const ONE: &str = "/experiments/{experiment}";

/// All paths.
pub(super) fn paths(site: Arc<Site>) -> Router {
    let mut router = Router::new()
        .route("/", get(home))
        .route("/experiments.json", get(async |State(site): State<Arc<Site>>| made(site.list_json(), JSON)))
        .route("/openapi.json", get(async || made(Ok(include_str!("openapi.json").to_owned()), JSON)))
        .route("/metrics", get(metrics))
        // Every browser asks for it, and would report that it is missing.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route(ONE, get(async |at: At| moved(&format!("{}/", at.name("experiment")))))
        .route(&format!("{ONE}/"), get(async |at: At| only(&at, Kind::Page, HTML).await));
    for prefix in ["", ONE] {
        for (path, answer) in EXPERIMENT {
            router = router.route(&format!("{prefix}{path}"), answer());
        }
    }
    let guard = middleware::from_fn_with_state(Arc::clone(&site), guarded);
    router.fallback(async || nothing()).layer(guard).with_state(site)
}

/// Lets through only GET and HEAD for names of this server, and tells browsers to do nothing with answers but show them.
async fn guarded(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let mut response = match *request.method() {
        // A foreign page could resolve its own name to this address, and then read what is meant for its user.
        _ if !host.is_none_or(|host| site.is_called(host)) => {
            text(StatusCode::MISDIRECTED_REQUEST, "this server does not have this name: use localhost, or its address\n")
        }
        Method::GET | Method::HEAD => next.run(request).await,
        _ => {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A request: the experiment, and the names in the path and in the query.
struct At {
    store: Arc<Store>,
    names: Vec<(String, String)>,
    query: Query,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<Site>> for At {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Response> {
        let params = RawPathParams::from_request_parts(parts, site).await.map_err(|_| nothing())?;
        let names: Vec<(String, String)> = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let experiment = names.iter().find(|(name, _)| name == "experiment").map(|(_, value)| value.clone());
        let site = Arc::clone(site);
        let found = tokio::task::spawn_blocking(move || match experiment {
            Some(name) => site.experiment(&name),
            None => site.only(),
        });
        let store = found.await.ok().flatten().ok_or_else(nothing)?;
        Ok(Self { store, names, query: Query::parse(parts.uri.query()), headers: parts.headers.clone() })
    }
}

impl At {
    /// A name in the path; empty if the path has none of this kind.
    fn name(&self, kind: &str) -> &str {
        self.names.iter().find(|(name, _)| name == kind).map_or("", |(_, value)| value)
    }
}

/// The page of the experiment, or the list of all.
async fn home(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let looking = tokio::task::spawn_blocking(move || match site.only() {
        Some(store) => Ok(store),
        None => Err(site.list().map_err(Absent::from).and_then(|all| page::experiments(&all))),
    });
    match looking.await {
        Ok(Ok(store)) => only(&At { store, names: Vec::new(), query: Query::parse(None), headers }, Kind::Page, HTML).await,
        Ok(Err(list)) => made(list, HTML),
        Err(_) => refused(&Refusal::Absent(Absent::Failed(String::new()))),
    }
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let text = tokio::task::spawn_blocking(move || site.metrics()).await;
    made(text.unwrap_or_else(|error| Err(Absent::Failed(error.to_string()))), OPENMETRICS)
}

async fn list(at: At) -> Response {
    let number = at.query.first("page").and_then(|number| number.parse().ok()).unwrap_or(1);
    only(&at, Kind::List(number), HTML).await
}

/// The report of a run. It declares itself, by hashes, which style and script are allowed.
async fn report(at: At) -> Response {
    let mut response = only(&at, Kind::Report(at.name("run").to_owned()), HTML).await;
    set(&mut response, header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'");
    response
}

/// Redirects to the newest run.
async fn latest(at: At) -> Response {
    let store = Arc::clone(&at.store);
    let newest = tokio::task::spawn_blocking(move || store.results().newest()).await;
    let Some(newest) = newest.ok().flatten().as_deref().map(name_of) else { return nothing() };
    let rest = at.name("rest");
    // From `latest/a/b`, two folders up are one above `latest`.
    let up = "../".repeat(1 + rest.matches('/').count());
    found_at(&format!("{up}runs/{newest}/{rest}"))
}

async fn compared(at: &At, part: &str, content_type: &str) -> Response {
    match comparison::Asked::parse(&at.query) {
        Ok(asked) => named(at, Kind::Comparison(asked), part, content_type).await,
        Err(words) => text(StatusCode::BAD_REQUEST, words),
    }
}

async fn over_runs(at: &At, part: &str, content_type: &str) -> Response {
    named(at, Kind::History(history::Asked::parse(&at.query)), part, content_type).await
}

/// The events of a run in progress, for as long as the client listens.
async fn events(State(site): State<Arc<Site>>, at: At) -> Response {
    let Some(place) = site.follow() else { return refused(&Refusal::Busy) };
    let mut response = Response::new(Body::new(Events::new(at.store, place)));
    set(&mut response, header::CONTENT_TYPE, "text/event-stream");
    set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

/// A file of a run as it is on disk.
async fn raw(at: At) -> Response {
    let (run, name) = (at.name("run").to_owned(), at.name("name").to_owned());
    let store = Arc::clone(&at.store);
    let opened = tokio::task::spawn_blocking({
        let name = name.clone();
        move || {
            let file = files::open(&store.results().run(&run)?, &name)?;
            let found = file.metadata().ok()?;
            Some((file, found))
        }
    });
    let Some((file, found)) = opened.await.ok().flatten() else { return nothing() };
    let tag = format!("\"{:x}-{:x}-{:x}-{:x}\"", found.ino(), found.len(), found.mtime(), found.mtime_nsec());
    let entry = Entry { offset: 0, bytes: found.len(), tag, modified: found.mtime() };
    let body = || Body::new(Pieces { file: Arc::new(file), at: 0, end: entry.bytes });
    known(&entry, &at.headers).unwrap_or_else(|| self::found(&entry, files::content_type(&name), body()))
}

async fn only(at: &At, kind: Kind, content_type: &str) -> Response {
    named(at, kind, ONLY, content_type).await
}

/// An answer that was made at once.
fn made(text: Result<String, Absent>, content_type: &str) -> Response {
    match text {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            set(&mut response, header::CONTENT_TYPE, content_type);
            set(&mut response, header::CACHE_CONTROL, "no-cache");
            response
        }
        Err(absent) => refused(&Refusal::Absent(absent)),
    }
}

async fn transfers(at: At) -> Response {
    match at.query.first("day").and_then(Day::parse) {
        Some(day) => only(&at, Kind::Transfers(day), JSON).await,
        None => text(StatusCode::BAD_REQUEST, "expected a day in UTC: transfers.json?day=YYYY-MM-DD\n"),
    }
}

async fn index(at: &At, kind: Kind, title: &'static str) -> Response {
    let archive = match at.store.get(kind).await {
        Ok(archive) => archive,
        Err(refusal) => return refused(&refusal),
    };
    let body = match page::index(title, &archive) {
        Ok(body) => body,
        Err(absent) => return refused(&Refusal::Absent(absent)),
    };
    let digest: [u8; 20] = Sha1::digest(body.as_bytes()).into();
    let tag: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let modified = archive.entries.values().map(|entry| entry.modified).max().unwrap_or_default();
    let entry = Entry { offset: 0, bytes: body.len() as u64, tag: format!("\"{tag}\""), modified };
    known(&entry, &at.headers).unwrap_or_else(|| found(&entry, HTML, Body::from(body)))
}

/// An answer that is made as a whole.
async fn named(at: &At, kind: Kind, name: &str, content_type: &str) -> Response {
    match at.store.get(kind).await {
        Ok(archive) => file(&archive, name, &at.headers, content_type),
        Err(refusal) => refused(&refusal),
    }
}

fn content_type(name: &str) -> &'static str {
    if name.ends_with(".xz") { "application/x-xz" } else { TEXT }
}

/// A file of an archive; or the answer that there is no file of this name, or that the client has it already.
fn file(archive: &Arc<Archive>, name: &str, headers: &HeaderMap, content_type: &str) -> Response {
    let Some(entry) = archive.entries.get(name) else { return nothing() };
    let body = || Body::new(Pieces { file: Arc::clone(&archive.file), at: entry.offset, end: entry.offset + entry.bytes });
    known(entry, headers).unwrap_or_else(|| found(entry, content_type, body()))
}

fn found(entry: &Entry, content_type: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, header::CONTENT_LENGTH, &entry.bytes.to_string());
    set_version(&mut response, entry);
    response
}

/// The answer if the client has it already; none if it does not.
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

fn text(status: StatusCode, words: impl Into<Body>) -> Response {
    let mut response = Response::new(words.into());
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

/// A temporary redirect.
fn found_at(to: &str) -> Response {
    let mut response = text(StatusCode::TEMPORARY_REDIRECT, "");
    set(&mut response, header::LOCATION, to);
    response
}

fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Absent(Absent::Nothing(words)) => text(StatusCode::NOT_FOUND, *words),
        Refusal::Absent(Absent::Wrong(words)) => text(StatusCode::BAD_REQUEST, words.clone()),
        // The reason is reported to the operator, not to strangers.
        Refusal::Absent(Absent::Failed(_)) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this cannot be made from the results; the server's standard error says why\n",
        ),
        Refusal::Busy => {
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "the server is busy with other requests; try again\n");
            set(&mut response, header::RETRY_AFTER, "10");
            response
        }
    }
}

/// A part of a file, read piece by piece as the client takes it.
///
/// It is read on the thread that sends it: it was written a short while ago, so most of it is in memory.
struct Pieces {
    file: Arc<File>,
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
        let read = self.file.read_exact_at(&mut piece, self.at);
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
    use std::collections::BTreeSet;

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

    #[test]
    fn the_description_has_every_path() {
        let described: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let plain = |path: &str| path.replace("{*", "{");
        let described: BTreeSet<String> = described["paths"].as_object().unwrap().keys().cloned().collect();
        let top = ["/", "/experiments.json", "/openapi.json", "/metrics", ONE].map(str::to_owned);
        let of_experiments = EXPERIMENT.iter().map(|(path, _)| *path);
        let there: BTreeSet<String> = top
            .into_iter()
            .chain(of_experiments.clone().map(plain))
            .chain(of_experiments.chain(["/"]).map(|path| format!("{ONE}{}", plain(path))))
            .collect();
        assert_eq!(described, there);
    }
}
