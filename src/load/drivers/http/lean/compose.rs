//! The bytes of a request of HTTP/1.1: composed each time, or once for all.

use std::ops::Range;

use bytes::Bytes;
use hyper::header::HeaderValue;

use crate::drivers::Failure;
use crate::drivers::cookies::Recipient;
use crate::drivers::decimal::decimal;
use crate::drivers::http::request::{self, Step, Whole, unfit_header, unfit_in_header};
use crate::drivers::values::{ValueNames, Values};

/// Bodies up to this length are copied after their head; longer ones are sent from where they are.
pub const COPIED: usize = 4 << 10;

/// Composes the request of a step in advance for each of these servers, if it is the same each time and short.
pub fn in_advance<'a>(step: &mut Step, hosts: impl Iterator<Item = &'a HeaderValue>, names: &ValueNames) {
    if !step.is_the_same_each_time() {
        return;
    }
    let mut values = Values::new(names, 0, 0);
    let whole = |host| {
        let mut out = Vec::new();
        match compose(step, (false, host), &mut values, &mut out) {
            Ok((body_length, None)) => Some(Whole { bytes: out.into(), body_length }),
            _ => None,
        }
    };
    let wholes: Option<Vec<Whole>> = hosts.map(whole).collect();
    step.wholes = wholes.unwrap_or_default();
}

/// Writes a request to a host, over TLS or not, into `out`. Returns the length of its body, and the body itself if it was not copied.
pub fn compose(
    step: &Step,
    (tls, host): (bool, &HeaderValue),
    values: &mut Values,
    out: &mut Vec<u8>,
) -> Result<(u64, Option<Bytes>), Failure> {
    out.clear();
    out.extend_from_slice(step.method.as_str().as_bytes());
    out.push(b' ');
    let path_at = out.len();
    step.write_path(values, out)?;
    let path = path_at..out.len();
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !step.has_host {
        out.extend_from_slice(b"host: ");
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(&step.fixed_head);
    if let Some(jar) = &mut values.cookies {
        // The path was checked: it is ASCII.
        let path = std::str::from_utf8(&out[path]).unwrap_or("/");
        let line = jar.line(Recipient { tls, host: step.cookie_host(host.as_bytes()), path });
        if !line.is_empty() {
            out.extend_from_slice(b"cookie: ");
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in &step.late_headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        let value_at = out.len();
        value.write(values, out);
        if let Some(byte) = unfit_in_header(&out[value_at..]) {
            return Err(unfit_header(name, value, byte));
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(match &step.body {
        request::Body::Empty if matches!(step.method.as_str(), "PUT" | "POST" | "PATCH") => finish(out, &Bytes::new(), 0..0),
        request::Body::Empty => {
            out.extend_from_slice(b"\r\n");
            (0, None)
        }
        request::Body::Fixed(bytes) => finish(out, bytes, 0..bytes.len()),
        request::Body::Text(text) => {
            let text = Bytes::from(text.fill(values));
            finish(out, &text, 0..text.len())
        }
        request::Body::Random(length) => {
            let length = *length as usize;
            let spare = step.random.len() - length;
            let start = (values.next_random() % (spare as u64 + 1)) as usize;
            finish(out, &step.random, start..start + length)
        }
    })
}

/// Ends a head, and puts a short body after it. Returns the length of the body, and a long body itself.
fn finish(out: &mut Vec<u8>, block: &Bytes, range: Range<usize>) -> (u64, Option<Bytes>) {
    let length = range.len() as u64;
    let mut digits = [0; 20];
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(decimal(length, &mut digits));
    out.extend_from_slice(b"\r\n\r\n");
    if range.len() > COPIED {
        return (length, Some(block.slice(range)));
    }
    out.extend_from_slice(&block[range]);
    (length, None)
}
