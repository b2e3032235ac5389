//! Turns bytes, as they arrive, into whole lines.

/// The longest line that is kept; of a longer one only this much is kept, and the rest is skipped.
pub const MAX_LINE: usize = 64 << 10;

/// The position of a stream of bytes within its lines. Never holds more than [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The start of a line whose end has not arrived.
    begun: Vec<u8>,
    /// Whether the next bytes are the rest of a line that was cut.
    skipping: bool,
    /// How many lines were cut.
    pub cut: u64,
}

impl Splitter {
    /// Takes what was read, of any length, and adds the lines that are now complete to `lines`, each with a final line feed.
    pub fn push(&mut self, mut bytes: &[u8], lines: &mut Vec<u8>) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            self.end(line, lines);
            bytes = rest;
            // From here on whole lines are in `bytes`; most are taken at once, where none can be too long.
            if bytes.len() <= MAX_LINE
                && let Some(last) = bytes.iter().rposition(|b| *b == b'\n')
            {
                lines.extend_from_slice(&bytes[..=last]);
                bytes = &bytes[last + 1..];
            }
        }
        if self.skipping {
            return;
        }
        if self.begun.len() + bytes.len() <= MAX_LINE {
            self.begun.extend_from_slice(bytes);
        } else {
            // The start of the line is passed on now: its end may never arrive.
            self.cut(bytes, lines);
            self.skipping = true;
        }
    }

    /// The line without an end, when no more bytes will arrive.
    pub fn finish(&mut self, lines: &mut Vec<u8>) {
        if !self.begun.is_empty() {
            lines.append(&mut self.begun);
            lines.push(b'\n');
        }
        self.skipping = false;
    }

    /// The last part of a line, with its line feed.
    fn end(&mut self, part: &[u8], lines: &mut Vec<u8>) {
        if std::mem::take(&mut self.skipping) {
            return;
        }
        if self.begun.len() + part.len() > MAX_LINE + 1 {
            self.cut(part, lines);
        } else {
            lines.append(&mut self.begun);
            lines.extend_from_slice(part);
        }
    }

    fn cut(&mut self, part: &[u8], lines: &mut Vec<u8>) {
        let room = MAX_LINE - self.begun.len();
        lines.append(&mut self.begun);
        lines.extend_from_slice(&part[..room]);
        lines.push(b'\n');
        self.cut += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for bytes that are read in pieces of this length.
    fn lines(bytes: &[u8], piece: usize) -> (Vec<u8>, u64) {
        let (mut splitter, mut found) = (Splitter::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            splitter.push(piece, &mut found);
            assert!(splitter.begun.len() <= MAX_LINE);
        }
        splitter.finish(&mut found);
        (found, splitter.cut)
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_one() {
        let text = b"one\r\n\ntwo \0 \xff\nthree\nand no end";
        for piece in 1..=text.len() {
            assert_eq!(lines(text, piece), (b"one\r\n\ntwo \0 \xff\nthree\nand no end\n".to_vec(), 0), "{piece}");
        }
        assert_eq!(lines(b"", 1), (Vec::new(), 0));
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
        for (length, is_cut) in [(MAX_LINE - 1, false), (MAX_LINE, false), (MAX_LINE + 1, true), (5 * MAX_LINE, true)] {
            let text = [b"first\n", vec![b'x'; length].as_slice(), b"\nnext\n"].concat();
            let kept = length.min(MAX_LINE);
            let expected = [b"first\n", vec![b'x'; kept].as_slice(), b"\nnext\n"].concat();
            for piece in [1000, 4096, MAX_LINE, MAX_LINE + 1, text.len()] {
                assert!(lines(&text, piece) == (expected.clone(), u64::from(is_cut)), "{length} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_there_of_a_line_without_end_is_told_before_it() {
        let (mut splitter, mut found) = (Splitter::default(), Vec::new());
        splitter.push(&vec![b'x'; 10 * MAX_LINE], &mut found);
        assert_eq!((found.len(), splitter.cut), (MAX_LINE + 1, 1));
        splitter.push(&vec![b'x'; 10 * MAX_LINE], &mut found);
        splitter.finish(&mut found);
        assert_eq!((found.len(), splitter.cut), (MAX_LINE + 1, 1), "the rest is skipped");
    }
}
