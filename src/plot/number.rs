//! Numbers as people read them on an axis: "12 000", "2.5M", "3·10⁻⁷".
//!
//! Units are not known here; the axis label contains them.

/// Thousands are separated by a narrow space that never breaks a line.
const THOUSANDS: char = '\u{202f}';

/// Labels of the ticks of one axis, all in the same form.
///
/// `step`: distance of the ticks, greater than zero; it determines the decimals. From a million on, labels are shortened
/// with M, G and T; beyond 10¹⁵ and below 10⁻⁴ they become powers of ten.
pub(super) fn tick_labels(ticks: &[f64], step: f64) -> Vec<String> {
    let largest = ticks.iter().fold(0.0, |most: f64, tick| most.max(tick.abs()));
    let (unit, suffix) = unit_of(largest);
    let decimals = (-((step / unit).log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
    // Steps such as 2.5 need one decimal more than their magnitude suggests.
    let scaled = step / unit * 10f64.powi(decimals as i32);
    let decimals = decimals + usize::from((scaled - scaled.round()).abs() > 1e-6);
    ticks
        .iter()
        .map(|&tick| {
            let digits = fixed(tick / unit, decimals);
            if digits == "0" { digits } else { format!("{digits}{suffix}") }
        })
        .collect()
}

/// One number on its own, with at most four significant digits.
pub(super) fn single(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { "–".to_owned() };
    }
    let (unit, suffix) = unit_of(value.abs());
    let scaled = value / unit;
    let decimals = (3.0 - scaled.abs().log10().floor()).clamp(0.0, 12.0) as usize;
    let mut digits = fixed(scaled, decimals);
    if digits.contains('.') {
        digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
    }
    match suffix.strip_prefix('·') {
        Some(power) if digits == "1" => power.to_owned(),
        _ => format!("{digits}{suffix}"),
    }
}

/// The divisor for numbers as large as `largest`, and what is written after them.
fn unit_of(largest: f64) -> (f64, String) {
    match largest {
        0.0 => (1.0, String::new()),
        v if !(1e-4..1e15).contains(&v) => {
            let exponent = (v.log10() + 1e-9).floor();
            (10f64.powf(exponent), format!("·10{}", superscript(exponent as i32)))
        }
        v if v >= 1e12 => (1e12, "T".to_owned()),
        v if v >= 1e9 => (1e9, "G".to_owned()),
        v if v >= 1e6 => (1e6, "M".to_owned()),
        _ => (1.0, String::new()),
    }
}

/// A number with fixed decimals and grouped thousands; zero is "0" without decimals.
fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    if text.bytes().all(|b| b == b'0' || b == b'.') {
        return "0".to_owned();
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text.as_str(), None),
    };
    let mut out = String::new();
    if value < 0.0 {
        out.push('−');
    }
    for (i, digit) in whole.chars().enumerate() {
        // "1234" stays together; grouping starts with five digits, as is usual in tables.
        if i > 0 && whole.len() > 4 && (whole.len() - i).is_multiple_of(3) {
            out.push(THOUSANDS);
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn superscript(number: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let sign = if number < 0 { "⁻" } else { "" };
    let digits = number.unsigned_abs().to_string();
    let digits = digits.bytes().map(|b| DIGITS[usize::from(b - b'0')]);
    sign.chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_share_decimals_and_suffix() {
        assert_eq!(tick_labels(&[0.0, 0.5, 1.0], 0.5), ["0", "0.5", "1.0"]);
        assert_eq!(tick_labels(&[0.0, 500_000.0, 1_500_000.0], 500_000.0), ["0", "0.5M", "1.5M"]);
        assert_eq!(tick_labels(&[0.0, 5000.0, 12_000.0], 1000.0), ["0", "5000", "12\u{202f}000"]);
        assert_eq!(tick_labels(&[-2.0, 0.0], 2.0), ["−2", "0"]);
    }

    #[test]
    fn very_large_and_very_small_become_powers_of_ten() {
        assert_eq!(tick_labels(&[2e17, 4e17], 2e17), ["2·10¹⁷", "4·10¹⁷"]);
        assert_eq!(tick_labels(&[2e-7, 4e-7], 2e-7), ["2·10⁻⁷", "4·10⁻⁷"]);
    }

    #[test]
    fn single_numbers_lose_trailing_zeros() {
        assert_eq!(single(1.0), "1");
        assert_eq!(single(0.05), "0.05");
        assert_eq!(single(20_000.0), "20\u{202f}000");
        assert_eq!(single(2e6), "2M");
        assert_eq!((single(1e-7), single(2e-7)), ("10⁻⁷".to_owned(), "2·10⁻⁷".to_owned()));
        assert_eq!(single(f64::NAN), "–");
    }
}
