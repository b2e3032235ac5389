//! How durations are written in a plan: in the form that users write.

use std::time::Duration;

use serde::Serializer;

use vocabulary::units::exact_duration;

pub(super) fn as_text<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&exact_duration(*duration))
}

#[allow(clippy::ref_option)]
pub(super) fn as_optional_text<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_text(duration, serializer),
        None => serializer.serialize_none(),
    }
}
