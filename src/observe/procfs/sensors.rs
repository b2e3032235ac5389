//! Files of `/sys/devices/system/cpu` that hold one number, and `/proc/pressure`.

use super::{number, whole_lines, words};
use vocabulary::rows::Pressure;

/// Reads a file that contains a frequency in kHz, as all files of cpufreq do. A value that no driver knows (`<unknown>`, 0)
/// is `None`.
pub fn hertz(text: &[u8]) -> Option<u64> {
    count(text)?.checked_mul(1000).filter(|hertz| *hertz > 0)
}

/// Reads a file that contains a count.
pub fn count(text: &[u8]) -> Option<u64> {
    number(whole_lines(text).next()?.trim_ascii())
}

/// Reads a file of `/proc/pressure`.
pub fn pressure(text: &[u8]) -> Option<Pressure> {
    let total = |kind: &[u8]| {
        let line = whole_lines(text).find(|line| line.starts_with(kind))?;
        number(words(line).find_map(|word| word.strip_prefix(b"total="))?)
    };
    Some(Pressure { some_us: total(b"some ")?, full_us: total(b"full ") })
}

#[cfg(test)]
mod tests {
    use super::{super::assert_cut_text_gives_nothing_or_the_same as assert_cuts, *};

    #[test]
    fn frequencies_are_in_hertz() {
        assert_eq!(hertz(b"2400000\n"), Some(2_400_000_000));
        for text in [&b"<unknown>\n"[..], b"0\n", b"", b"2400000", b"-1\n", b"18446744073709551615\n"] {
            assert_eq!(hertz(text), None, "{text:?}");
        }
    }

    const PRESSURE: &[u8] = b"some avg10=22.18 avg60=9.19 avg300=5.48 total=33000245\n\
        full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n";

    #[test]
    fn pressure_of_some_and_of_all() {
        assert_eq!(pressure(PRESSURE), Some(Pressure { some_us: 33_000_245, full_us: Some(17) }));
        let older = &PRESSURE[..PRESSURE.iter().position(|b| *b == b'\n').unwrap() + 1];
        assert_eq!(pressure(older), Some(Pressure { some_us: 33_000_245, full_us: None }));
        assert_eq!(pressure(b"full total=5\n"), None);
    }

    #[test]
    fn cut_text_gives_nothing_or_the_same() {
        assert_cuts(b"2400000\n", hertz);
        assert_cuts(b"17\n", count);
        assert_cuts(PRESSURE, |text| pressure(text).map(|p| p.some_us));
        assert_cuts(PRESSURE, |text| pressure(text)?.full_us);
    }
}
