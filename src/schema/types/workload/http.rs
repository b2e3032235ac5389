//! How HTTP and TLS are spoken.

use schemars::JsonSchema;
use serde::de::Deserialize;

use crate::types::{HttpVersion, Names, Text};

/// How HTTP is spoken: version, streams, connections and redirects.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "http"))]
pub struct Http {
    /// The version of HTTP: `1` is HTTP/1.1, `2` is HTTP/2. HTTP/2 is agreed on by ALPN with `https://`, and spoken by prior
    /// knowledge with `http://`.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [2]))]
    pub version: Option<HttpVersion>,
    /// Requests at a time on one connection of HTTP/2, 1 to 1000. `connections: 8` with `streams: 10` are 80 requests at a
    /// time. More than one needs `version: 2`.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [10]))]
    pub streams: Option<u32>,
    /// Whether a connection is used for more than one request. With `false` each request has its own connection, and
    /// connecting is part of its time. HTTP/2 needs `true`, and `stages` needs `false`.
    #[serde(default)]
    #[schemars(extend("x-default" = "`true`; with `stages` `false`", "examples" = [false]))]
    pub keep_alive: Option<bool>,
    /// How many redirects of a request are followed. With `0` a redirect is an answer like any other. A map such as
    /// `{most: 10, trust: [https://other:8443]}` also says which other origins may get secrets.
    #[serde(default)]
    #[schemars(extend("x-default" = "0", "examples" = [5]))]
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
        schemars::json_schema!({
            "anyOf": [{"type": "integer", "minimum": 0}, to],
            "description": "How many redirects are followed: a number, or a map that also says whom to trust.",
            "examples": [5, {"most": 10, "trust": ["https://other:8443"]}]
        })
    }
}

/// How many redirects are followed, and which other origins may get secrets.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "http"))]
pub struct RedirectsTo {
    /// How many redirects of a request are followed.
    #[serde(default)]
    #[schemars(extend("x-default" = "10", "examples" = [5]))]
    pub most: Option<u32>,
    /// Other origins (scheme, host and port, without a path) to which a redirect may take credentials and secrets: one or a
    /// list.
    #[serde(default)]
    #[schemars(extend("x-default" = "no other origin", "examples" = [["https://other:8443"]]))]
    pub trust: Names,
}

/// How TLS is spoken: which certificates vouch for the server, and which one the client shows.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "urls"))]
pub struct Tls {
    /// A file with the certificates (PEM) that may vouch for the server.
    #[serde(default)]
    #[schemars(extend("x-default" = "those that the system trusts", "examples" = ["certs/ca.pem"]))]
    pub ca: Option<String>,
    /// Whether the certificate of the server is verified. `false` accepts any certificate from any server, and cannot stand
    /// beside `ca`.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = [false]))]
    pub verify: Option<bool>,
    /// The name of the server: the handshake asks for it (SNI), and the certificate must contain it. So you can reach a
    /// server on 127.0.0.1 under the name that it has elsewhere. The `host` header stays that of the URL, unless `headers`
    /// sets another.
    #[serde(default)]
    #[schemars(extend("x-default" = "the host of the URL", "examples" = ["shop.example"]))]
    pub name: Option<Text>,
    /// A file with the client's own certificate (PEM), for servers that ask for one; it needs `key`. Intermediate
    /// certificates, up to the one that vouches for it, follow in the same file.
    #[serde(default)]
    #[schemars(extend("examples" = ["certs/client.pem"]))]
    pub cert: Option<String>,
    /// A file with the private key of `cert` (PEM).
    #[serde(default)]
    #[schemars(extend("examples" = ["certs/client.key"]))]
    pub key: Option<String>,
}

/// User and password for HTTP's basic authentication. Both must be known before the load: only secrets of `env` may be
/// inserted late.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "http"))]
pub struct Auth {
    /// The user. The name cannot contain a colon, which separates user and password.
    #[schemars(extend("examples" = ["me"]))]
    pub user: Text,
    /// The password, which is usually a secret of `env`.
    #[schemars(extend("examples" = ["${env.PASSWORD}"]))]
    pub password: Text,
}
