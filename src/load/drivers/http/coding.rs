//! Content codings of answers (RFC 9110, 8.4), undone for steps that examine a body: pure.
//!
//! Bytes are counted as they were on the wire; only what is judged and carried is decoded. This costs the generator
//! processor time, and nothing if no step examines a body or no answer is coded.

use std::io::{self, Read};

use hyper::header::{CONTENT_ENCODING, HeaderMap};

use crate::drivers::judged::{Body, KeptBody, MAX_KEPT};

/// The most codings that an answer may have.
const MOST_CODINGS: usize = 4;
/// A server may require a window of at most 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;
/// The buffer of the brotli decoder.
const BROTLI_BUFFER: usize = 4096;

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn find(name: &str) -> Option<Self> {
        Some(match name {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    /// Decodes as much as is kept.
    fn undo(self, bytes: &[u8], is_cut: bool) -> io::Result<Body> {
        match self {
            Self::Gzip => keep(flate2::read::MultiGzDecoder::new(bytes), is_cut),
            // The name means zlib's format, but some servers send the raw format inside it.
            Self::Deflate => keep(flate2::read::ZlibDecoder::new(bytes), is_cut)
                .or_else(|wrong| keep(flate2::read::DeflateDecoder::new(bytes), is_cut).map_err(|_| wrong)),
            Self::Brotli => keep(brotli_decompressor::Decompressor::new(bytes, BROTLI_BUFFER), is_cut),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                keep(decoder, is_cut)
            }
        }
    }
}

/// Reads until the end, or until no more is kept. If it `is_cut`, it does not matter how it ends.
fn keep(mut decoder: impl Read, is_cut: bool) -> io::Result<Body> {
    let mut body = Body::new();
    let mut piece = [0; 16 << 10];
    while !body.kept().is_cut {
        match decoder.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => body.keep(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if is_cut => break,
            Err(error) => return Err(error),
        }
    }
    if is_cut {
        body.cut();
    }
    Ok(body)
}

/// The codings of an answer, in the order in which they were applied; empty if there are none.
pub(super) fn codings(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(CONTENT_ENCODING).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let names: Vec<String> = values
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// A body without its codings; `None` if one of them is unknown. At most [`MAX_KEPT`] bytes are read and written.
///
/// # Errors
/// In words, why it does not have the claimed codings.
pub(super) fn decode(body: KeptBody<'_>, codings: &str) -> Result<Option<Body>, String> {
    let names: Vec<&str> = codings.split(", ").collect();
    let Some(known) = names.iter().map(|name| Coding::find(name)).collect::<Option<Vec<Coding>>>() else { return Ok(None) };
    if known.len() > MOST_CODINGS {
        return Err(format!("expected at most {MOST_CODINGS} codings"));
    }
    let mut decoded: Option<Body> = None;
    for coding in known.into_iter().rev() {
        let coded = decoded.as_ref().map_or(body, Body::kept);
        decoded = Some(coding.undo(coded.bytes, coded.is_cut).map_err(|error| error.to_string())?);
    }
    Ok(decoded)
}

const _: () = assert!(MAX_KEPT > 1 << ZSTD_WINDOW_LOG, "the decoder looks back at most as far as is kept");

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 1).unwrap()
    }

    /// `hello` as brotli's own program writes it: an uncompressed piece, and an empty last piece.
    const BROTLI: &[u8] = b"\x0b\x02\x80hello\x03";

    fn read(bytes: &[u8], codings: &str) -> Result<Option<Vec<u8>>, String> {
        decode(KeptBody::whole(bytes), codings).map(|body| body.map(|body| body.kept().bytes.to_vec()))
    }

    #[test]
    fn every_coding_is_undone() {
        let text = b"hello hello hello hello".as_slice();
        let raw = {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        for (bytes, codings) in [
            (gzip(text), "gzip"),
            (gzip(text), "x-gzip"),
            (zlib(text), "deflate"),
            (raw, "deflate"),
            (zstd(text), "zstd"),
            (zstd(&gzip(text)), "gzip, zstd"),
            ([gzip(b"hello hello "), gzip(b"hello hello")].concat(), "gzip"),
        ] {
            assert_eq!(read(&bytes, codings).as_ref().map(Option::as_deref), Ok(Some(text)), "{codings}");
        }
        assert_eq!(read(BROTLI, "br"), Ok(Some(b"hello".to_vec())));
    }

    #[test]
    fn what_cannot_be_undone_is_an_error_and_what_is_unknown_is_left() {
        let whole = gzip(b"hello");
        for (bytes, codings) in [
            (b"hello".as_slice(), "gzip"),
            (&whole[..whole.len() - 3], "gzip"),
            (b"hello", "deflate"),
            (b"hello", "zstd"),
            (&zstd(b"hello")[..8], "zstd"),
            (b"\xff\xff\xffhello", "br"),
            (&BROTLI[..6], "br"),
            (b"hello", "gzip, gzip, gzip, gzip, gzip"),
        ] {
            assert!(read(bytes, codings).is_err(), "{codings}: {bytes:?}");
        }
        for codings in ["utf-8", "gzip, aws-chunked"] {
            assert_eq!(read(b"hello", codings), Ok(None), "{codings}");
        }
    }

    #[test]
    fn a_bomb_is_kept_as_far_as_any_body() {
        let zeros = vec![0; 3 * MAX_KEPT];
        for (bytes, codings) in [(gzip(&zeros), "gzip"), (zstd(&zeros), "zstd"), (zstd(&gzip(&zeros)), "gzip, zstd")] {
            assert!(bytes.len() < 1 << 20, "{codings}: {}", bytes.len());
            let body = decode(KeptBody::whole(&bytes), codings).unwrap().unwrap();
            assert_eq!((body.kept().bytes.len(), body.kept().is_cut), (MAX_KEPT, true), "{codings}");
        }
    }

    #[test]
    fn of_what_was_cut_on_the_wire_the_start_is_read() {
        let bytes = gzip(b"hello hello hello hello");
        let cut = KeptBody { is_cut: true, ..KeptBody::whole(&bytes[..bytes.len() - 6]) };
        let body = decode(cut, "gzip").unwrap().unwrap();
        assert!(body.kept().is_cut && b"hello hello hello hello".starts_with(body.kept().bytes));
    }

    #[test]
    fn codings_are_read_from_all_headers() {
        let mut headers = HeaderMap::new();
        assert_eq!(codings(&headers), None);
        headers.append(CONTENT_ENCODING, "identity".parse().unwrap());
        assert_eq!(codings(&headers), None);
        headers.append(CONTENT_ENCODING, " GZip,, br".parse().unwrap());
        headers.append(CONTENT_ENCODING, "zstd".parse().unwrap());
        assert_eq!(codings(&headers).as_deref(), Some("gzip, br, zstd"));
    }
}
