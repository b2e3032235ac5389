//! A step on the general path: its request, and those to which redirects lead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Method, Request, Uri};
use tokio::time::Instant as TokioInstant;

use super::body::{Outgoing, Source, Upload};
use super::connect::Server;
use super::general::{ExchangeOptions, General, Received};
use super::judge::{Answer, judge};
use super::redirect::{is_redirect, next_method, resolve};
use super::request::Step;
use super::{Connection, Http, HttpClient, RoundTrip, shared};
use crate::drivers::Failure;
use crate::drivers::cookies::Recipient;
use crate::drivers::judged::Body;
use crate::drivers::transfer::Transfer;
use crate::drivers::values::Values;
use vocabulary::Outcome;

/// How often a request waits for another connection of several streams that is then over before the request was sent.
const MOST_UNSENT: u32 = 100;
/// A request whose stream was refused, on a connection that continues, waits this long before it is sent again.
const REFUSED_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// A request without its destination.
struct Message<'a> {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    source: Source<'a>,
}

/// Where a redirect leads, as seen from the server that sent it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Destination {
    /// The same origin: scheme, host and port (RFC 6454).
    Same,
    /// Another origin, trusted by the scenario.
    Trusted,
    /// Another origin, which gets no secrets.
    Stranger,
}

impl<'a> Message<'a> {
    fn new(step: &'a Step, values: &mut Values) -> Result<Self, Failure> {
        Ok(Self {
            method: step.method.clone(),
            path: step.path(values)?,
            headers: step.headers(values)?,
            source: step.source(values),
        })
    }

    /// Makes the request for a server. Afterwards the headers are gone, unless it is made `again`.
    fn request(
        &mut self,
        server: &Server,
        http2: bool,
        again: bool,
        cookie: Option<HeaderValue>,
    ) -> Result<(Request<Outgoing>, Upload), Failure> {
        let (body, upload) = self.source.open()?;
        let empty = body.size() == 0;
        let mut headers = if again { self.headers.clone() } else { std::mem::take(&mut self.headers) };
        if let Some(cookie) = cookie {
            headers.insert(COOKIE, cookie);
        }
        let path = self.path.clone();
        let uri = if http2 {
            // The `host` header is part of the address here.
            let named: Option<Authority> = headers.remove(HOST).and_then(|h| h.as_bytes().try_into().ok());
            let authority = named.unwrap_or_else(|| server.authority.clone());
            let uri = Uri::builder().scheme(server.scheme()).authority(authority).path_and_query(path).build();
            uri.map_err(|e| Failure::new(Outcome::Carry, format!("the path `{}` is invalid: {e}", self.path)))?
        } else {
            if !headers.contains_key(HOST) {
                headers.insert(HOST, server.host.clone());
            }
            if empty && matches!(self.method, Method::PUT | Method::POST | Method::PATCH) {
                headers.entry(CONTENT_LENGTH).or_insert(0.into());
            }
            Uri::from(path)
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok((request, upload))
    }

    /// Adds its headers again, unless they are `there`: a request that was sent took them with it.
    fn again(&mut self, step: &Step, values: &Values, there: bool) -> Result<(), Failure> {
        if !there {
            self.headers = step.headers(values)?;
        }
        Ok(())
    }

    /// Changes into what a redirect asks for. Returns whether that can be sent: secrets are not sent to a `stranger`.
    fn redirect(&mut self, step: &Step, status: u16, path: PathAndQuery, to: Destination) -> bool {
        let method = next_method(status, &self.method);
        if method != self.method {
            self.method = method;
            self.source = Source::Empty;
            let of_body = |name: &HeaderName| name.as_str().starts_with("content-") || name.as_str() == "transfer-encoding";
            let names: Vec<HeaderName> = self.headers.keys().filter(|n| of_body(n)).cloned().collect();
            names.iter().for_each(|name| while self.headers.remove(name).is_some() {});
        }
        if to != Destination::Same {
            self.headers.remove(HOST);
        }
        self.path = path;
        if to == Destination::Stranger {
            step.private_headers.iter().for_each(|name| while self.headers.remove(name).is_some() {});
        }
        to != Destination::Stranger || !step.private_body || matches!(self.source, Source::Empty)
    }
}

impl HttpClient {
    /// Sends the request of a step, follows redirects, and checks the last answer. Bytes are the sum of all of them.
    pub(super) async fn chain(&mut self, number: usize, sent: Instant, connect: &mut Option<Duration>) -> RoundTrip {
        let http = Arc::clone(&self.http);
        let step = &http.steps[number];
        let home = Self::server(&http, self.number);
        let deadline = TokioInstant::from_std(sent) + step.timeout;
        let mut round_trip = RoundTrip { usable: true, ..RoundTrip::broken(None, Failure::new(Outcome::Closed, String::new())) };
        let mut message = match Message::new(step, &mut self.values) {
            Ok(message) => message,
            Err(failure) => return RoundTrip { result: Err(failure), ..round_trip },
        };
        let mut elsewhere: Option<Server> = None;
        for followed in 0.. {
            let server = elsewhere.as_ref().unwrap_or(home);
            let received = self.one(number, &mut message, server, elsewhere.is_some(), deadline, connect, &mut round_trip).await;
            let failed = |failure: Failure| match followed {
                0 => Err(failure),
                1 => Err(Failure { words: format!("{} (after 1 redirect)", failure.words), ..failure }),
                n => Err(Failure { words: format!("{} (after {n} redirects)", failure.words), ..failure }),
            };
            round_trip.first_byte = received.first_byte;
            round_trip.completed = received.completed;
            round_trip.received_bytes += received.bytes;
            let (head, kept) = match received.answer {
                Ok(answer) => answer,
                Err(failure) => return RoundTrip { result: failed(failure), ..round_trip },
            };
            let status = head.status.as_u16();
            round_trip.status = status;
            let from = recipient(step, server, elsewhere.is_some(), message.path.as_str());
            self.values.take_cookies(&head.headers, from);
            let location = head.headers.get(LOCATION).filter(|_| is_redirect(status) && !step.statuses.contains(&status));
            if let Some(location) = location.filter(|_| followed < http.redirects) {
                let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
                let resolved = resolve(&server.url, message.path.as_str(), &location);
                let (url, path) = match resolved {
                    Ok(resolved) => resolved,
                    Err(reason) => {
                        let label = step.label(&self.values);
                        let words = format!("{label} answered {status} with the location `{location}`: {reason}");
                        return RoundTrip { result: failed(Failure::new(Outcome::Garbage, words)), ..round_trip };
                    }
                };
                let to = match () {
                    () if server.is(&url) => Destination::Same,
                    () if http.trusted.iter().any(|trusted| trusted.same_origin(&url)) => Destination::Trusted,
                    () => Destination::Stranger,
                };
                if !message.redirect(step, status, path, to) {
                    let label = step.label(&self.values);
                    let origin = url.origin();
                    let words = format!(
                        "{label} answered {status}, which sends the request again to another origin, {origin}; its body \
                         contains a secret and was not sent there: expected an answer, or `redirects: {{trust: [{origin}]}}`"
                    );
                    return RoundTrip { result: failed(Failure::new(Outcome::Status, words)), ..round_trip };
                }
                if home.is(&url) {
                    elsewhere = None;
                } else if !server.is(&url) {
                    match Server::find(&url, http.proxy.as_ref(), deadline).await {
                        Ok(found) => elsewhere = Some(found),
                        Err(failure) => {
                            return RoundTrip { result: failed(failure), completed: Instant::now(), ..round_trip };
                        }
                    }
                }
                continue;
            }
            let answer =
                Answer { status, received_bytes: received.bytes, body: kept.as_ref().map(Body::kept), headers: &head.headers };
            round_trip.result = judge(step, &answer, &mut self.values).or_else(failed);
            return round_trip;
        }
        round_trip
    }

    /// One request of a chain. It uses the client's connection unless it goes `elsewhere`: then the connection is
    /// closed afterwards.
    // The state that a request changes belongs to the chain; a struct for it would exist for this one call only.
    #[allow(clippy::too_many_arguments)]
    async fn one(
        &mut self,
        number: usize,
        message: &mut Message<'_>,
        server: &Server,
        elsewhere: bool,
        deadline: TokioInstant,
        connect: &mut Option<Duration>,
        round_trip: &mut RoundTrip,
    ) -> Received {
        let http = Arc::clone(&self.http);
        let step = &http.steps[number];
        let mut stranger = None;
        if elsewhere {
            let begun = Instant::now();
            match open(&http, server, deadline, &mut self.connects).await {
                Ok(opened) => stranger = Some(opened),
                Err(failure) => return Received::failed(failure),
            }
            *connect = Some(connect.unwrap_or_default() + begun.elapsed());
        } else if let Err(failure) = self.connect_if_needed(deadline, connect, &mut Transfer::default()).await {
            round_trip.usable = false;
            return Received::failed(failure);
        }
        let path = message.path.clone();
        let cookie = |values: &mut Values| {
            let jar = values.cookies.as_mut()?;
            let line = jar.line(recipient(step, server, elsewhere, path.as_str()));
            HeaderValue::from_str(line).ok().filter(|line| !line.is_empty())
        };
        // Other users of a connection may end it repeatedly before this request has its turn.
        let most_unsent = if http.http2 { MOST_UNSENT } else { 1 };
        let (mut request, mut upload) = match message.request(server, http.http2, http.redirects > 0, cookie(&mut self.values)) {
            Ok(made) => made,
            Err(failure) => return Received::failed(failure),
        };
        let mut unsent_before = 0;
        loop {
            let values = &self.values;
            let head_only = message.method == Method::HEAD;
            let options = ExchangeOptions {
                keep: step.needs_body(),
                head_only,
                deadline,
                timeout: step.timeout,
                label: &|| step.label(values),
            };
            let general = match (&mut stranger, &mut self.connection) {
                (Some(stranger), _) => stranger,
                (None, Some(Connection::General(general))) => &mut **general,
                _ => return Received::failed(Failure::new(Outcome::Closed, "there is no connection")),
            };
            if elsewhere {
                self.counter.count_elsewhere()
            } else {
                self.counter.count_sent(number)
            }
            let mut received = general.exchange(request, &options).await;
            let again = received.not_taken && !elsewhere && TokioInstant::now() < deadline;
            match () {
                () if elsewhere => {}
                () if again => self.counter.count_again(number),
                () if received.unsent.is_some() => self.counter.uncount_sent(number),
                () if received.first_byte.is_some() => self.counter.count_answered(number),
                () => {}
            }
            if !elsewhere {
                round_trip.usable = received.usable;
            }
            // The connection was over before any of the request was sent: it is sent for the first time on another one.
            let unsent = received.unsent.take().filter(|_| !again && unsent_before < most_unsent && !elsewhere);
            if again && received.usable {
                // The server refused only this stream, because it is busy.
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            if again || unsent.is_some() {
                upload = match unsent {
                    Some(unsent) => {
                        unsent_before += 1;
                        request = unsent;
                        upload
                    }
                    // Sent unchanged: the server says that it has not processed it.
                    None => {
                        upload.abandon();
                        let made = message.again(step, &self.values, http.redirects > 0);
                        let made =
                            made.and_then(|()| message.request(server, http.http2, http.redirects > 0, cookie(&mut self.values)));
                        let (again, upload) = match made {
                            Ok(made) => made,
                            Err(failure) => return Received::failed(failure),
                        };
                        request = again;
                        upload
                    }
                };
                self.connection = None;
                match self.connect_if_needed(deadline, connect, &mut Transfer::default()).await {
                    Ok(()) => continue,
                    Err(failure) => return Received::failed(failure),
                }
            }
            upload.abandon();
            round_trip.sent_bytes += upload.sent();
            if let Some(failure) = upload.broken().filter(|_| received.answer.is_err()) {
                received.answer = Err(Failure { words: format!("{}: {}", step.label(&self.values), failure.words), ..failure });
            }
            return received;
        }
    }
}

/// To whom a request goes. Its own `host` header is only for the first server.
fn recipient<'a>(step: &'a Step, server: &'a Server, followed: bool, path: &'a str) -> Recipient<'a> {
    let host = if followed { server.url.host.as_str() } else { step.cookie_host(server.host.as_bytes()) };
    Recipient { tls: server.url.tls, host, path }
}

/// A connection that nobody else uses.
async fn open(http: &Http, server: &Server, deadline: TokioInstant, opened: &mut u64) -> Result<General, Failure> {
    // User and password are secrets too, and the name is that of the original server.
    let known = http.trusted.iter().any(|trusted| server.is(trusted));
    let tls = http.tls.as_ref().map(|tls| if known { tls.elsewhere() } else { tls.anonymous() }).map_err(Clone::clone);
    let stream = server.open(&tls, None, deadline, opened).await?;
    if http.http2 { Ok(General::http2(shared::begin(stream, 1, deadline).await?)) } else { General::http1(stream).await }
}
