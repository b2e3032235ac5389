//! HTTP archives (HAR 1.2), as browsers save them.

use std::borrow::Cow;

use serde::Deserialize;

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
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(expecting = "an entry")]
struct Entry<'a> {
    #[serde(borrow, default)]
    started_date_time: Cow<'a, str>,
    #[serde(borrow)]
    request: Request<'a>,
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
    for entry in archive.log.entries {
        let Entry { request, response, resource_type, started_date_time } = entry;
        // What browsers call a connection over which messages go.
        if resource_type.as_deref().is_some_and(|kind| kind.ends_with("socket")) {
            all.leave_out(Why::Upgrade);
            continue;
        }
        let Some(at_ns) = times::rfc3339(started_date_time.as_bytes()) else {
            all.strange(started_date_time.as_bytes());
            continue;
        };
        let body = match (&request.post_data, request.body_size) {
            (Some(PostData { text: Some(text), mime_type }), _) => {
                Body::Content(Cow::Borrowed(text.as_bytes()), mime_type.as_ref().map(|kind| kind.clone().into_owned()))
            }
            (_, Some(length)) if length >= 0.0 => Body::Length(length as u64),
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
