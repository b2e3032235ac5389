//! Changes a link while it is used: its packets on the way stay on their way.

use super::make::Made;
use super::rules::tc;
use super::{Error, control, shaping};
use plan::links::{Link, Mechanism, Shape};

/// Gives a link that was made for changes other shapes, from the next packet on. `from`: the link as it is now. `cut`: nothing
/// passes.
///
/// # Errors
/// When a program or the helper refuses; the link is then as it was, or one of its directions is.
pub fn change(made: &Made, from: &Link, forward: Shape, back: Shape, cut: bool) -> Result<(), Error> {
    let whole = |shape: Shape| if cut { Shape { loss: 1.0, ..shape } } else { shape };
    let (forward, back) = (whole(forward), whole(back));
    let buffer = shaping::buffer(&Link { forward, back, ..from.clone() });
    match made.mechanism {
        Mechanism::Netem => {
            let lines = shaping::netem_change("far", &from.forward, &forward, buffer)
                + &shaping::netem_change("near", &from.back, &back, buffer);
            tc(&made.names.middle, &lines)
        }
        Mechanism::Nfqueue => {
            let lines = shaping::rate_change("far", &from.forward, &forward, buffer)
                + &shaping::rate_change("near", &from.back, &back, buffer);
            tc(&made.names.middle, &lines)?;
            tell(made, forward, back)
        }
        Mechanism::Relay | Mechanism::Auto => tell(made, forward, back),
    }
}

fn tell(made: &Made, forward: Shape, back: Shape) -> Result<(), Error> {
    let failed = |source| Error::Change { link: made.link.clone(), source };
    let path = made.control.as_ref().ok_or_else(|| failed(std::io::Error::other("it was not made for changes")))?;
    control::tell(path, [&forward, &back]).map_err(failed)
}
