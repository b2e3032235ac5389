//! Who the server must be, with `https://`.
//!
//! rustls with the system's certificates, those of a file, or anybody's. Sessions are resumed as rustls does by default,
//! as a browser would: a connection that is made again costs less than the first one.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_rustls::{TlsConnector, rustls::client::WantsClientCert};

use super::of_io;
use crate::Error;
use crate::drivers::Failure;
use plan::drivers::http::Trust;
use vocabulary::Outcome;

/// What all connections of a workload need for TLS.
pub(in crate::drivers) struct Tls {
    connector: TlsConnector,
    http2: bool,
}

impl Tls {
    /// Reads the certificates that are trusted. The server must agree to the version of HTTP by ALPN.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn new(trust: &Trust, http2: bool) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Tls(e.to_string()))?;
        let builder: rustls::ConfigBuilder<ClientConfig, WantsClientCert> = match trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate { provider: Arc::clone(&provider) })),
            Trust::System => builder.with_root_certificates(of_system()?),
            Trust::Ca(path) => builder.with_root_certificates(of_file(path)?),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), http2 })
    }

    /// Shakes hands on a stream; `server` is how messages call the other side.
    ///
    /// # Errors
    /// What kept it from being trusted, in words that say what to do.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: ServerName<'static>,
        server: &str,
        deadline: Instant,
    ) -> Result<TlsStream<S>, Failure> {
        let shaking = self.connector.connect(name, stream);
        let stream = match tokio::time::timeout_at(deadline, shaking).await {
            Ok(shaken) => shaken.map_err(|e| of_handshake(&e, server, self.http2))?,
            Err(_) => {
                let words = format!("connecting to {server}: the TLS handshake took longer than the time-out");
                return Err(Failure::new(Outcome::Timeout, words));
            }
        };
        let agreed = stream.get_ref().1.alpn_protocol();
        if self.http2 && agreed != Some(b"h2") {
            let agreed = agreed.map_or("names no protocol".into(), |p| format!("chose {}", String::from_utf8_lossy(p)));
            return Err(Failure::new(Outcome::Io, format!("{server} does not agree to HTTP/2: it {agreed} (ALPN)")));
        }
        Ok(stream)
    }
}

fn of_system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or(String::new(), |e| format!(" ({e})"));
        return Err(Error::Tls(format!("the system has no certificates to trust{why}; `tls: {{ca: …}}` names a file with some")));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> Result<RootCertStore, Error> {
    let invalid = |reason: String| Error::Tls(format!("{}: {reason}; expected certificates in PEM", path.display()));
    let of_pem = |error: pem::Error| match error {
        pem::Error::Io(source) => Error::File { path: path.to_owned(), source },
        other => invalid(other.to_string()),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(of_pem)? {
        roots.add(certificate.map_err(of_pem)?).map_err(|e| invalid(e.to_string()))?;
    }
    if roots.is_empty() { Err(invalid("it contains no certificate".to_owned())) } else { Ok(roots) }
}

/// A handshake that failed, in words.
fn of_handshake(error: &std::io::Error, server: &str, http2: bool) -> Failure {
    let doing = format!("connecting to {server}");
    let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Failure::new(Outcome::Closed, format!("{doing}: the connection was closed in the TLS handshake"))
            }
            _ => of_io(error, &doing),
        };
    };
    match tls {
        rustls::Error::InvalidCertificate(reason) => {
            let reason = match reason {
                CertificateError::UnknownIssuer => "nobody who is trusted vouches for it".to_owned(),
                CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                    "it is one that vouches for others, and cannot be a server's own".to_owned()
                }
                other => other.to_string(),
            };
            let words = format!(
                "{doing}: its certificate is not accepted: {reason}; `tls: {{ca: …}}` names a file with those who may vouch \
                 for it, `tls: {{verify: false}}` takes any"
            );
            Failure::new(Outcome::Io, words)
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            let version = if http2 { "HTTP/2" } else { "HTTP/1.1" };
            Failure::new(Outcome::Io, format!("{server} does not agree to {version} (ALPN)"))
        }
        rustls::Error::InvalidMessage(_) => Failure::new(Outcome::Garbage, format!("{doing}: it does not speak TLS ({tls})")),
        other => Failure::new(Outcome::Io, format!("{doing}: the TLS handshake failed: {other}")),
    }
}

/// Accepts any certificate: who asks for it knows that nothing is verified.
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
