//! HTTP archives (HAR 1.2), as browsers save them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Body, Collector, Logged, Why, times};

#[derive(Deserialize)]
#[serde(expecting = "an object with `log`")]
struct Archive<'a> {
    #[serde(borrow)]
    log: Log<'a>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `entries`")]
struct Log<'a> {
    /// Each is read by itself: one that is wrong spoils no other.
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(expecting = "an entry")]
struct Entry<'a> {
    #[serde(borrow, default)]
    started_date_time: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
    response: Option<Response>,
    #[serde(borrow, default, rename = "_resourceType")]
    resource_type: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(expecting = "a request")]
struct Request<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow)]
    post_data: Option<PostData<'a>>,
    /// -1: not known.
    #[serde(default)]
    body_size: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(expecting = "the data of a request")]
struct PostData<'a> {
    #[serde(borrow)]
    mime_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    /// The fields of a form.
    #[serde(borrow, default)]
    params: Vec<Param<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(expecting = "a field of a form")]
struct Param<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    file_name: Option<Cow<'a, str>>,
}

/// The type of a body that is a form in one part.
const FORM: &str = "application/x-www-form-urlencoded";

impl PostData<'_> {
    /// The body and its type, as far as the archive has them.
    fn body(&self) -> Option<Body<'_>> {
        let kind = self.mime_type.as_deref().filter(|kind| !kind.is_empty());
        if let Some(text) = self.text.as_deref().filter(|text| !text.is_empty() || self.params.is_empty()) {
            return Some(Body::Content(Cow::Borrowed(text.as_bytes()), kind.map(str::to_owned)));
        }
        let is_form = kind.is_none_or(|kind| kind.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM)));
        // Files are not in an archive, and neither is what separates the parts of a body.
        if self.params.is_empty() || !is_form || self.params.iter().any(|param| param.file_name.is_some()) {
            return None;
        }
        let fields = self.params.iter().map(|param| {
            let value = param.value.as_deref().unwrap_or_default();
            format!("{}={}", form_encoded(&param.name), form_encoded(value))
        });
        let body = fields.collect::<Vec<_>>().join("&").into_bytes();
        Some(Body::Content(Cow::Owned(body), Some(kind.unwrap_or(FORM).to_owned())))
    }
}

/// A name or value in a form (WHATWG URL, `application/x-www-form-urlencoded`).
fn form_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |encoded, byte| match byte {
        b' ' => encoded + "+",
        b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => encoded + &char::from(byte).to_string(),
        byte => encoded + &format!("%{byte:02X}"),
    })
}

#[derive(Deserialize)]
#[serde(expecting = "a response")]
struct Response {
    #[serde(default)]
    status: f64,
}

/// Reads all entries.
///
/// # Errors
/// Why it is not an archive.
pub(super) fn read(content: &[u8], all: &mut Collector) -> Result<(), String> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let archive: Archive<'_> = serde_json::from_slice(content).map_err(|e| e.to_string())?;
    for raw in archive.log.entries {
        let Ok(Entry { request, response, resource_type, started_date_time }) = serde_json::from_str(raw.get()) else {
            all.strange(raw.get().as_bytes());
            continue;
        };
        // What browsers call a connection over which messages go.
        if resource_type.as_deref().is_some_and(|kind| kind.ends_with("socket")) {
            all.leave_out(Why::Upgrade);
            continue;
        }
        let Some(at_ns) = times::rfc3339(started_date_time.as_bytes()) else {
            all.strange(started_date_time.as_bytes());
            continue;
        };
        let Some(request) = request else {
            all.leave_out(Why::NoRequest);
            continue;
        };
        let data = request.post_data.as_ref();
        let is_form = data.is_some_and(|data| !data.params.is_empty());
        let body = match (data.and_then(PostData::body), request.body_size) {
            (Some(body), _) => body,
            // A form has a body, whatever its size is said to be.
            (None, Some(length)) if length >= 0.0 && !(is_form && length == 0.0) => Body::Length(length as u64),
            _ => Body::Unknown,
        };
        let status = response.map_or(0.0, |response| response.status);
        all.take(Logged {
            at_ns,
            method: request.method.as_bytes(),
            target: Cow::Borrowed(request.url.as_bytes()),
            status: if (0.0..1000.0).contains(&status) { status as u16 } else { 0 },
            body,
        });
    }
    Ok(())
}
