//! An answer is the same however it is cut, and is never longer than what was fed.
//!
//! The first two bytes of an input say how: whether HEAD was asked for, whether headers are wanted, and where to cut. The
//! rest is the stream. What was seen in all inputs before makes no difference either.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/load/drivers/http/lean/answer.rs"]
mod answer;

use std::cell::RefCell;

use answer::{Answer, EarlyEnd, Garbage, AnswerSink, LastHead};
use libfuzzer_sys::fuzz_target;

#[derive(Default, Debug, PartialEq)]
struct Collected {
    wants_headers: bool,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl AnswerSink for Collected {
    fn wants_headers(&self, _coded: bool, _sets_cookies: bool) -> bool {
        self.wants_headers
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        if self.wants_headers {
            self.headers.push((name.to_owned(), value.to_vec()));
        }
    }

    fn body(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    fed: Result<(), Garbage>,
    ended: Result<(), EarlyEnd>,
    status: u16,
    whole: bool,
    keeps_alive: bool,
    kept: Collected,
}

thread_local! {
    static LAST_HEAD: RefCell<LastHead> = const { RefCell::new(LastHead::new()) };
}

fn read(how: u8, mut stream: &[u8], seen: &mut LastHead, mut next: impl FnMut() -> usize) -> Outcome {
    let (mut answer, mut kept) = (Answer::new(how & 1 == 1), Collected { wants_headers: how & 2 == 2, ..Collected::default() });
    let (mut fed, mut bytes) = (Ok(()), 0);
    while !stream.is_empty() && fed.is_ok() {
        let (piece, rest) = stream.split_at(next().clamp(1, stream.len()));
        bytes += piece.len();
        stream = rest;
        fed = answer.feed(piece, seen, &mut kept);
        if let Err(Garbage::Behind(behind)) = &mut fed {
            assert!((1..=piece.len()).contains(behind));
            // How many are seen at once depends on the cuts.
            *behind = 1;
        }
        assert_eq!(answer.received(), kept.body.len() as u64);
        assert!(kept.body.len() <= bytes);
    }
    let ended = if fed.is_ok() { answer.end() } else { Ok(()) };
    assert!(fed.is_err() || ended.is_ok() == answer.is_whole());
    Outcome { fed, ended, status: answer.status(), whole: answer.is_whole(), keeps_alive: answer.keeps_alive(), kept }
}

fuzz_target!(|data: &[u8]| {
    let [how, cuts, stream @ ..] = data else { return };
    let whole = read(*how, stream, &mut LastHead::new(), || usize::MAX);
    let mut random = u64::from(*cuts).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut cut = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly short pieces.
        1 + (random >> 33) as usize % (1 << (random >> 61))
    };
    assert_eq!(read(*how, stream, &mut LastHead::new(), &mut cut), whole);
    LAST_HEAD.with_borrow_mut(|seen| {
        assert_eq!(read(*how, stream, seen, || usize::MAX), whole);
        if cuts % 16 == 0 {
            assert_eq!(read(*how, stream, seen, || 1), whole);
        }
        // Now this head is the one that was seen.
        assert_eq!(read(*how, stream, seen, || usize::MAX), whole);
        assert_eq!(read(how ^ 1, stream, seen, || usize::MAX), read(how ^ 1, stream, &mut LastHead::new(), || usize::MAX));
    });
});
