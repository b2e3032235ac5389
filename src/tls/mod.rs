//! TLS for everything that uses it: loads, readiness probes, set-up steps and collecting.
//!
//! rustls with the system's certificates, those of a file, or without verification. Sessions are resumed as rustls does by
//! default and as a browser would: reconnecting costs less than the first connection.
//!
//! This module knows nothing of HTTP but the names of its versions, with which a server agrees to one of them (ALPN).

mod session;

use std::path::Path;
use std::sync::Arc;

pub use session::{Raw, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
pub use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use plan::tls::{Identity, Trust};
use vocabulary::Outcome;

/// TLS that cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file with certificates or a key cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file that could not be read.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content of a file is unusable.
    #[error("TLS cannot be used: {0}")]
    Unusable(String),
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Failure {
    /// The outcome that the exchange is counted as.
    pub outcome: Outcome,
    /// What happened, in words.
    pub words: String,
}

/// What all connections with one server need for TLS.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    /// The same without a client certificate; it has separate sessions, as a session knows which client started it.
    anonymous: TlsConnector,
    /// The name of the server, if it is not the host of the URL.
    name: Option<ServerName<'static>>,
    http2: bool,
}

impl Tls {
    /// Reads the certificates. The server must agree to the version of HTTP by ALPN.
    ///
    /// # Errors
    /// When no certificate authority is trusted, or files cannot be read or used.
    pub fn new(tls: &plan::tls::Tls, http2: bool) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Unusable(e.to_string()))?;
        let builder = match &tls.trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate { provider: Arc::clone(&provider) })),
            Trust::System => builder.with_root_certificates(of_system()?),
            Trust::Ca(path) => builder.with_root_certificates(of_file(path)?),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let anonymous = TlsConnector::from(Arc::new(config.clone()));
        let connector = match &tls.identity {
            None => anonymous.clone(),
            Some(identity) => {
                config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified(identity, &provider)?));
                config.resumption = Resumption::default();
                TlsConnector::from(Arc::new(config))
            }
        };
        let name = tls.server_name.as_ref().map(|name| {
            ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                .map_err(|e| Error::Unusable(format!("`{name}` cannot be the name of a server: {e}")))
        });
        Ok(Self { connector, anonymous, name: name.transpose()?, http2 })
    }

    /// The same for a server other than the one whose name was given: its name is the host in its URL.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        Self { name: None, ..self.clone() }
    }

    /// The same without the client certificate, for a server that must not learn who the client is.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { connector: self.anonymous.clone(), ..self.elsewhere() }
    }

    /// Performs the handshake on a stream. `host`: the name that the certificate must contain, unless the scenario gives
    /// another name; `server`: what messages call the other side.
    ///
    /// # Errors
    /// Why the server was not trusted, in words that say what to do.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: ServerName<'static>,
        server: &str,
        deadline: Instant,
    ) -> Result<TlsStream<S>, Failure> {
        let failure = |outcome, words| Err(Failure { outcome, words });
        let name = self.name.clone().unwrap_or(host);
        let shaking = self.connector.connect(name, stream);
        let stream = match tokio::time::timeout_at(deadline, shaking).await {
            Ok(shaken) => shaken.map_err(|e| of_handshake(&e, server, self.http2))?,
            Err(_) => {
                let words = format!(
                    "connecting to {server}: the TLS handshake took longer than the time-out: does this port speak TLS? If not, use `http://`"
                );
                return failure(Outcome::Timeout, words);
            }
        };
        let agreed = stream.get_ref().1.alpn_protocol();
        if self.http2 && agreed != Some(b"h2") {
            let agreed = agreed.map_or("names no protocol".into(), |p| format!("chose {}", String::from_utf8_lossy(p)));
            return failure(Outcome::Io, format!("{server} does not agree to HTTP/2: it {agreed} (ALPN)"));
        }
        Ok(stream)
    }
}

/// The name that a certificate must contain.
///
/// # Errors
/// When no certificate can contain this name, in words.
pub fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())
}

/// What a server said when it ended a connection over TLS, if it said anything: with TLS 1.3, a client learns only after its
/// own handshake that its certificate is missing or refused.
pub fn alert(error: &std::io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => of_alert(*alert).map(str::to_owned),
        _ => None,
    }
}

/// What it means when a server ends a connection with this alert; none unless the alert is about the client's identity.
fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired => {
            "the server requires a client certificate: set `tls: {cert: …, key: …}` to a certificate and its key"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => "the server does not accept the certificate of `tls: {cert: …}`",
        _ => return None,
    })
}

fn of_system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or(String::new(), |e| format!(" ({e})"));
        let words = format!("the system has no certificates to trust{why}; `tls: {{ca: …}}` names a file with some");
        return Err(Error::Unusable(words));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| unusable(path, &e.to_string(), CERTIFICATES))?;
    }
    Ok(roots)
}

/// What files of certificates are expected to contain.
const CERTIFICATES: &str = "expected certificates in PEM";

/// The certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |error| of_pem(path, error, CERTIFICATES);
    let found: Vec<_> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() { Err(unusable(path, "it contains no certificate", CERTIFICATES)) } else { Ok(found) }
}

/// A certificate with its key.
fn certified(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    const KEY: &str = "expected a key in PEM";
    let chain = certificates(&identity.cert)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(&identity.key, "it contains no key", KEY),
        error => of_pem(&identity.key, error, KEY),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => unusable(
            &identity.key,
            "the key does not belong to the certificate",
            &format!("expected the key of {}", identity.cert.display()),
        ),
        error => unusable(&identity.key, &error.to_string(), KEY),
    })
}

fn of_pem(path: &Path, error: pem::Error, expected: &str) -> Error {
    match error {
        pem::Error::Io(source) => Error::File { path: path.to_owned(), source },
        other => unusable(path, &other.to_string(), expected),
    }
}

fn unusable(path: &Path, reason: &str, expected: &str) -> Error {
    Error::Unusable(format!("{}: {reason}; {expected}", path.display()))
}

/// A handshake that failed, in words.
fn of_handshake(error: &std::io::Error, server: &str, http2: bool) -> Failure {
    let doing = format!("connecting to {server}");
    let failure = |outcome, words| Failure { outcome, words };
    let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => failure(
                Outcome::Closed,
                format!(
                    "{doing}: the connection was closed in the TLS handshake: does this port speak TLS? If not, use `http://`"
                ),
            ),
            _ => failure(Outcome::of_io(error), format!("{doing}: {error}")),
        };
    };
    match tls {
        rustls::Error::InvalidCertificate(reason) => {
            let name = match reason {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "; `tls: {name: …}` sets the name to expect"
                }
                _ => "",
            };
            let reason = match reason {
                CertificateError::UnknownIssuer => "it was not issued by a trusted authority".to_owned(),
                CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                    "it is a certificate authority's, and cannot be used by a server".to_owned()
                }
                other => other.to_string(),
            };
            let words = format!(
                "{doing}: its certificate is not accepted: {reason}; `tls: {{ca: …}}` names a file with the authorities to trust, \
                 `tls: {{verify: false}}` accepts any certificate{name}"
            );
            failure(Outcome::Io, words)
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            let version = if http2 { "HTTP/2" } else { "HTTP/1.1" };
            failure(Outcome::Io, format!("{server} does not agree to {version} (ALPN)"))
        }
        rustls::Error::AlertReceived(alert) if let Some(words) = of_alert(*alert) => {
            failure(Outcome::Io, format!("{doing}: {words}"))
        }
        rustls::Error::InvalidMessage(_) => {
            failure(Outcome::Garbage, format!("{doing}: it does not speak TLS ({tls}): try `http://`"))
        }
        other => failure(Outcome::Io, format!("{doing}: the TLS handshake failed: {other}")),
    }
}

/// Accepts any certificate: with this setting the user knows that nothing is verified.
#[derive(Debug)]
struct AcceptAnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
