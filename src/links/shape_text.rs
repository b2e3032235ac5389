//! The shape of a link as text, for a helper: an argument, or a line that changes it.

use std::time::Duration;

use plan::links::Shape;

/// A shape and a seed as one argument of a helper.
pub(super) fn encode(shape: &Shape, seed: u64) -> String {
    let rate = shape.rate_bits_per_s.unwrap_or(0.0);
    format!("{}:{}:{}:{rate}:{seed}", shape.delay.as_nanos(), shape.jitter.as_nanos(), shape.loss)
}

/// The inverse of [`encode`].
pub(super) fn decode(text: &str) -> Option<(Shape, u64)> {
    let fields: Vec<&str> = text.split(':').collect();
    let [delay, jitter, loss, rate, seed] = fields[..] else { return None };
    let rate: f64 = rate.parse().ok()?;
    let shape = Shape {
        delay: Duration::from_nanos(delay.parse().ok()?),
        jitter: Duration::from_nanos(jitter.parse().ok()?),
        loss: loss.parse().ok()?,
        rate_bits_per_s: (rate > 0.0).then_some(rate),
    };
    Some((shape, seed.parse().ok()?))
}
