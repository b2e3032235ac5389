//! How HTTP and TLS are spoken.

use schemars::JsonSchema;
use serde::de::Deserialize;

use crate::types::{HttpVersion, Names, Text};

/// How HTTP is spoken.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    /// `1` (HTTP/1.1, the default) or `2`.
    #[serde(default)]
    pub version: Option<HttpVersion>,
    /// Requests at a time on one connection; only with version 2. 1 by default.
    #[serde(default)]
    pub streams: Option<u32>,
    /// Whether a connection is used for more than one request; true by default.
    #[serde(default)]
    pub keep_alive: Option<bool>,
    /// How many redirects are followed; 0 by default: a redirect is an answer like any other.
    #[serde(default)]
    pub redirects: Option<Redirects>,
}

/// Which redirects are followed: a number of them, or a map.
#[derive(Clone, Debug)]
pub struct Redirects {
    /// How many.
    pub most: Option<u32>,
    /// The origins that may know what is secret.
    pub trust: Vec<String>,
}

impl<'de> serde::Deserialize<'de> for Redirects {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = Redirects;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("how many redirects are followed, or `most` and `trust`")
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Redirects, E> {
                let most = u32::try_from(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))?;
                Ok(Redirects { most: Some(most), trust: Vec::new() })
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Redirects, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Redirects, A::Error> {
                let typed = RedirectsTo::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Redirects { most: typed.most, trust: typed.trust.0 })
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Redirects {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Redirects".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let to = generator.subschema_for::<RedirectsTo>();
        schemars::json_schema!({"anyOf": [{"type": "integer", "minimum": 0}, to]})
    }
}

/// Which redirects are followed, and who is trusted.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedirectsTo {
    /// How many; 10 by default.
    #[serde(default)]
    pub most: Option<u32>,
    /// Origins, such as `https://other:8443`, to which credentials and secrets are sent too.
    #[serde(default)]
    pub trust: Names,
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// A file with the certificates (PEM) of those who may vouch for the server, instead of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// `false` takes any certificate from anybody.
    #[serde(default)]
    pub verify: Option<bool>,
    /// What the server is called, in the handshake (SNI) and in its certificate; the host of the URL by default.
    #[serde(default)]
    pub name: Option<Text>,
    /// A file with a certificate of one's own (PEM), for a server that asks who is there; `key` belongs to it.
    #[serde(default)]
    pub cert: Option<String>,
    /// The file with the key of `cert` (PEM).
    #[serde(default)]
    pub key: Option<String>,
}

/// User and password, for HTTP's basic authentication.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Auth {
    /// The name to log in with.
    pub user: Text,
    /// What only they know: `${env.PASSWORD}`.
    pub password: Text,
}
