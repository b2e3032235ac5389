//! Scalars with a notation of their own, and lists that may be one item.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use vocabulary::choices::Allowed;
use vocabulary::units;

/// Reads a scalar from text or a number, saying what was expected.
macro_rules! scalar {
    ($name:ident, $inner:ty, $expecting:literal, $schema:tt, |$text:ident| $from_text:expr, |$number:ident| $from_number:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct V;
                impl Visitor<'_> for V {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, $text: &str) -> Result<$name, E> {
                        let value: Option<$inner> = $from_text;
                        value.map($name).ok_or_else(|| {
                            let help = hint($text).map_or_else(String::new, |hint| format!("||{hint}"));
                            E::custom(format!("the text \"{}\" does not fit here||expected {}{help}", $text, $expecting))
                        })
                    }
                    fn visit_i64<E: de::Error>(self, $number: i64) -> Result<$name, E> {
                        let value: Option<$inner> = $from_number;
                        value.map($name).ok_or_else(|| {
                            E::custom(format!("the number {} does not fit here||expected {}", $number, $expecting))
                        })
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(V)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// The message of a [`Text`] that found a number or a truth value; `decode` answers it with what was typed.
pub(crate) const AS_TYPED: &str = "a number or a truth value, where a text is expected";

/// What a visitor makes of a text; `$of` is the constructor. A number or a boolean is wanted as it was typed, `1.10`
/// and not 1.1, and only the owner of the file knows that.
macro_rules! text_as_typed {
    ($of:expr) => {
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok($of(text.to_owned()))
        }
        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(E::custom($crate::types::AS_TYPED))
        }
        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(E::custom($crate::types::AS_TYPED))
        }
        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(E::custom($crate::types::AS_TYPED))
        }
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(E::custom($crate::types::AS_TYPED))
        }
    };
}
pub(crate) use text_as_typed;

/// A whole number in decimal digits. One that starts with 0 is refused: some programs read `010` as 8.
fn whole<T: std::str::FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

/// Help for a number that starts with 0, such as `010`; `None` if the text is not such a number.
pub(crate) fn without_zeros(text: &str) -> Option<String> {
    let number = text.trim_start_matches('0');
    let begins_so = number.len() < text.len() && number.starts_with(|c: char| c.is_ascii_digit());
    begins_so.then(|| format!("a number cannot start with 0, because some programs read it as octal: write `{number}`"))
}

/// Help for a notation that is nearly right.
fn hint(text: &str) -> Option<String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    match &text[number.len()..] {
        "KB" | "K" | "k" | "kb" | "Kb" if !number.is_empty() => {
            let (number, unit) = (number.trim(), &text[number.len()..]);
            Some(format!("`{unit}` is ambiguous: write `{number}kB` for 1000 bytes each or `{number}KiB` for 1024"))
        }
        _ => without_zeros(text).or_else(|| units::is_too_long(text).then(|| "the longest time is 365 days: `8760h`".to_owned())),
    }
}

/// A [duration](notation.md#durations) with its unit, such as `500ms`, `2s` or `1m30s`; at most 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub StdDuration);
scalar!(
    Duration, StdDuration, "a duration with its unit, such as `500ms`, `2s` or `1m30s`",
    {
        "type": ["string", "integer"],
        "description": "a duration with its unit, such as 500ms, 2s or 1m30s; at most 365 days",
        "examples": ["1m30s"]
    },
    |text| units::parse_duration(text),
    |number| (number == 0).then_some(StdDuration::ZERO)
);

/// How long something may take: a duration longer than 0, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub StdDuration);
scalar!(
    Timeout, StdDuration, "a duration with its unit, longer than 0, such as `500ms`, `2s` or `1m30s`",
    {"type": "string", "description": "a duration longer than 0 with its unit, such as 500ms, 2s or 1m30s", "examples": ["10s"]},
    |text| units::parse_duration(text).filter(|d| !d.is_zero()),
    |_number| None
);

/// A [size](notation.md#sizes) in bytes, such as `512`, `10KiB` or `5MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub units::Bytes);

impl serde::Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.0)
    }
}

scalar!(
    Size, units::Bytes, "a size in bytes, such as `512`, `10KiB` or `5MB`",
    {"type": ["string", "integer"], "description": "a size in bytes, such as 512, 10KiB or 5MB", "examples": ["10KiB"]},
    |text| units::Bytes::parse(text),
    |number| u64::try_from(number).ok().map(units::Bytes)
);

/// A TCP port from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);
scalar!(
    Port, u16, "a port from 1 to 65535",
    {"type": ["integer", "string"], "description": "a port from 1 to 65535", "examples": [8000]},
    |text| whole(text).filter(|p| *p > 0),
    |number| u16::try_from(number).ok().filter(|p| *p > 0)
);

/// A text. A number or a truth value is taken as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            text_as_typed!(Text);
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "boolean"],
            "description": "a text; a number or a truth value is taken as it was typed",
            "examples": ["hello"]
        })
    }
}

/// A [rate](notation.md#rates) above 0, such as `500/s` or `30/min`; per second if no unit is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);
scalar!(
    Rate, f64, "a rate above 0, such as `500/s` or `30/min`",
    {"type": ["string", "number"], "description": "a rate above 0, such as 500/s or 30/min", "examples": ["500/s"]},
    |text| units::parse_rate(text),
    |number| (number > 0).then_some(number as f64)
);

/// A [rate](notation.md#rates) such as `500/s` or `30/min`, or `0`; per second if no unit is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateOrNone(pub f64);
scalar!(
    RateOrNone, f64, "a rate such as `500/s` or `30/min`, or `0`",
    {"type": ["string", "number"], "description": "a rate such as 500/s or 30/min, or 0", "examples": ["500/s"]},
    |text| if text.split('/').next().is_some_and(|number| number.trim() == "0") { Some(0.0) } else { units::parse_rate(text) },
    |number| (number >= 0).then_some(number as f64)
);

/// Two rates, the lower first, such as `100..20000`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateRange(pub (f64, f64));
scalar!(
    RateRange, (f64, f64), "two rates, the lower first, such as `100..20000`",
    {"type": "string", "description": "two rates, the lower first, such as 100..20000", "examples": ["100..20000"]},
    |text| text.split_once("..").and_then(|(low, high)| Some((units::parse_rate(low)?, units::parse_rate(high)?))).filter(|(l, h)| l < h),
    |number| (number < 0).then_some((0.0, 0.0))
);

/// A percentage above 0, with its `%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(pub f64);
scalar!(
    Percent, f64, "a percentage above 0, such as `5%`",
    {"type": "string", "description": "a percentage above 0, such as 5%", "examples": ["5%"]},
    |text| units::parse_percent(text).filter(|p| *p > 0.0),
    |number| (number < 0).then_some(0.0)
);

/// A percentage of 0 or more, with its `%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);
scalar!(
    Share, f64, "a percentage of 0% or more, such as `1%`",
    {"type": "string", "description": "a percentage of 0 or more, such as 1%", "examples": ["1%"]},
    |text| units::parse_percent(text),
    |number| (number < 0).then_some(0.0)
);

/// How often something may happen: a number, or `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times(pub Option<u64>);
scalar!(
    Times, Option<u64>, "a number of times, such as `3`, or `any`",
    {
        "anyOf": [{"type": "integer", "minimum": 0}, {"const": "any"}],
        "description": "a number of times, such as 3, or any",
        "examples": [3]
    },
    |text| if text == "any" { Some(None) } else { whole(text).map(Some) },
    |number| u64::try_from(number).ok().map(Some)
);

/// By how much two counts of requests may differ: a number of requests, or a percentage of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountTolerance(pub Allowed);
scalar!(
    CountTolerance, Allowed, "a number of requests, such as `5`, or a percentage of them, such as `0.1%`",
    {
        "type": ["integer", "string"],
        "description": "a number of requests, such as 5, or a percentage of them, such as 0.1%",
        "examples": ["0.1%"]
    },
    |text| units::parse_percent(text).map(Allowed::Share),
    |number| u64::try_from(number).ok().map(Allowed::Count)
);

/// A limit of a resource: a number, a size such as `64MiB`, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit(pub Option<u64>);
scalar!(
    ResourceLimit, Option<u64>, "a number such as `1024`, a size such as `64MiB`, or `unlimited`",
    {
        "type": ["integer", "string"],
        "description": "a number such as 1024, a size such as 64MiB, or unlimited",
        "examples": [1024]
    },
    |text| if text == "unlimited" { Some(None) } else { units::Bytes::parse(text).map(|b| Some(b.0)) },
    |number| u64::try_from(number).ok().map(Some)
);

/// A number of processors, such as `1.5`; at least 0.01.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Processors(pub f64);
scalar!(
    Processors, f64, "a number of processors, such as `1.5`, at least 0.01",
    {
        "type": ["number", "string"],
        "description": "a number of processors, such as 1.5, at least 0.01",
        "examples": [1.5]
    },
    |text| text.trim().parse::<f64>().ok().filter(|cpus| cpus.is_finite() && *cpus >= 0.01),
    |number| (number > 0).then_some(number as f64)
);

/// A rate of bits, such as `20Mbit/s`: `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitRate(pub f64);
scalar!(
    BitRate, f64, "a rate of bits, such as `20Mbit/s`",
    {"type": "string", "description": "a rate of bits above 0, such as 20Mbit/s", "examples": ["20Mbit/s"]},
    |text| units::parse_bit_rate(text),
    |number| (number < 0).then_some(0.0)
);

/// How long a warm-up phase is: a duration, or `auto`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUpLength(pub Option<StdDuration>);
scalar!(
    WarmUpLength, Option<StdDuration>, "`auto` or a time with its unit, such as `10s`",
    {"type": "string", "description": "auto, or a duration with its unit, such as 10s", "examples": ["10s"]},
    |text| if text == "auto" { Some(None) } else { units::parse_duration(text).map(Some) },
    |number| (number < 0).then_some(None)
);

/// A version of HTTP: `1` or `2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpVersion(pub u8);
scalar!(
    HttpVersion, u8, "`1` or `2`",
    {"enum": [1, 2], "description": "1 or 2", "examples": [2]},
    |text| whole(text).filter(|v| (1..=2).contains(v)),
    |number| u8::try_from(number).ok().filter(|v| (1..=2).contains(v))
);

/// A version of SOCKS: `5` or `4a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocksVersion(pub bool);
scalar!(
    SocksVersion, bool, "`5` or `4a`",
    {"enum": [5, "4a"], "description": "5 or 4a", "examples": [5]},
    |text| match text {
        "5" => Some(true),
        "4a" => Some(false),
        _ => None,
    },
    |number| (number == 5).then_some(true)
);

/// An HTTP status from 100 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);
scalar!(
    Status, u16, "a status from 100 to 599",
    {"type": "integer", "minimum": 100, "maximum": 599, "description": "a status from 100 to 599", "examples": [200]},
    |text| whole(text).filter(|s| (100..600).contains(s)),
    |number| u16::try_from(number).ok().filter(|s| (100..600).contains(s))
);

/// One item or a list of them, with the name of one item.
struct OneOrMany<T>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0}, or a list of them", self.0)
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(de::value::StrDeserializer::new(v))?])
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(de::value::U64Deserializer::new(v))?])
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(de::value::I64Deserializer::new(v))?])
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Vec<T>, A::Error> {
        Err(de::Error::invalid_type(de::Unexpected::Map, &self))
    }
}

/// A name, or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany("a name", PhantomData)).map(Self)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": "a name, or a list of names",
            "examples": ["server"]
        })
    }
}

/// An exit code from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(pub u8);
scalar!(
    ExitCode, u8, "an exit code from 0 to 255",
    {"type": "integer", "minimum": 0, "maximum": 255, "description": "an exit code from 0 to 255", "examples": [0]},
    |text| whole(text),
    |number| u8::try_from(number).ok()
);

/// Reads one scalar or a list of them; `$item` is the schema of one.
macro_rules! one_or_many {
    ($name:ident, $of:ident, $expecting:literal, $item:tt, $examples:tt) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let several: Vec<$of> = deserializer.deserialize_any(OneOrMany($expecting, PhantomData))?;
                Ok(Self(several.into_iter().map(|one| one.0).collect()))
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "anyOf": [$item, {"type": "array", "items": $item}],
                    "description": concat!($expecting, ", or a list of them"),
                    "examples": $examples
                })
            }
        }
    };
}

/// An exit code, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitCodes(pub Vec<u8>);
one_or_many!(ExitCodes, ExitCode, "an exit code from 0 to 255", {"type": "integer", "minimum": 0, "maximum": 255}, [[0, 1]]);

/// A status, or a list of statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses(pub Vec<u16>);
one_or_many!(Statuses, Status, "a status from 100 to 599", {"type": "integer", "minimum": 100, "maximum": 599}, [[200, 201]]);
