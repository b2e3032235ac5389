//! TLS: which server to trust, and which protocol to speak.

use super::super::send_requests;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A CA, and one of its certificates, for `localhost` and 127.0.0.1; both valid until 2126.
const CA: &str = "
-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUHwTKD1/T+/8k9zYXrp0wtDXhgwcwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMcnVubmVyIHRlc3RzMCAXDTI2MTEyMjAxMzkwOFoYDzIxMjYx
MDI5MDEzOTA4WjAXMRUwEwYDVQQDDAxydW5uZXIgdGVzdHMwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAATOG38g0L3gDWdYIuGL+gca9/zTiv47L44z8Vvr0OLLvfyR
azW8j4iOQG1kx8SvRC91ey82FJmj/YC3gPHNoiXpo2MwYTAdBgNVHQ4EFgQUt2Pp
48FaWsfr2E3S1KP4MQLOIeowHwYDVR0jBBgwFoAUt2Pp48FaWsfr2E3S1KP4MQLO
IeowDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwCgYIKoZIzj0EAwID
SAAwRQIgOPNqOzIX7ktOx9DHGFWCrWNxKO5H3t7xkcFE7tvv0pMCIQD4fV7Rdp6d
9tF77i4JQxaykHXLcYeboc8G0wRqdzmfVg==
-----END CERTIFICATE-----
";
const CERTIFICATE: &str = "
-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIUCQ3vb0QMPg6jqgNLhhMyPRYtE6gwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMcnVubmVyIHRlc3RzMCAXDTI2MTEyMjAxMzkwOFoYDzIxMjYx
MDI5MDEzOTA4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAARMrSb6drTyYB8wrajori80JIDxi5/MSva3/1AWrM7GNPjbA4rY
oW87ghmbqwlkCjG91Y4c8re/UxJ89Diz+QByo14wXDAaBgNVHREEEzARgglsb2Nh
bGhvc3SHBH8AAAEwHQYDVR0OBBYEFApEvdBjuF9kBNNSYQmPEwghEUyCMB8GA1Ud
IwQYMBaAFLdj6ePBWlrH69hN0tSj+DECziHqMAoGCCqGSM49BAMCA0gAMEUCIQDs
b7iQzUMbk66X7AnViXdtql057kFXlKAbkAnTvfSAhQIgRwNIt0Ey/QBUGoP1EZDf
GUvUhSvtES8jrDsHfRpfVas=
-----END CERTIFICATE-----
";
const KEY: &str = "
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdVdDnefexr2AuraB
dqFkpNGxKVmFxywlsyWOp17aJoehRANCAARMrSb6drTyYB8wrajori80JIDxi5/M
Sva3/1AWrM7GNPjbA4rYoW87ghmbqwlkCjG91Y4c8re/UxJ89Diz+QBy
-----END PRIVATE KEY-----
";

/// What a server needs that agrees to one of these protocols.
pub(crate) fn served(protocols: &[&str]) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Agrees to one of these protocols and answers as HTTP/1.1.
async fn tls_server(protocols: &[&str]) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(served(protocols));
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            spawn_local(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            });
        }
    });
    port
}

#[test]
fn certificates_are_verified_unless_nobody_cares() {
    run(async {
        let port = tls_server(&["http/1.1"]).await;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, CA.as_bytes()).unwrap();
        let ca = || Trust::Ca(file.path().to_owned());
        let with = |host: &str, trust| plan::drivers::http::Http {
            tls: Tls { trust, ..Tls::default() },
            ..workload(&format!("https://{host}:{port}"), vec![step("GET", "/")])
        };
        for host in ["127.0.0.1", "localhost"] {
            let mut client = client(with(host, ca()));
            for connected in [true, false] {
                let exchange = client.exchange(0).await;
                assert_eq!((told(&exchange), exchange.connect.is_some()), (Ok(5), connected), "{host}");
            }
            send_requests(&client.http, &plan::Flow::plain(client.http.steps.len()), 1, 1).await.unwrap();
        }
        assert_eq!(told(&client(with("127.0.0.1", Trust::Anybody)).exchange(0).await), Ok(5));
        let ways_out =
            "`tls: {ca: …}` names a file with the authorities to trust, `tls: {verify: false}` accepts any certificate";
        expect(&client(with("127.0.0.2", ca())).exchange(0).await, Outcome::Io, "not valid for");
        if let Ok(http) = Http::new(&with("127.0.0.1", Trust::System)) {
            let exchange = Arc::new(http).client(0, 1, &Rc::default()).exchange(0).await;
            expect(&exchange, Outcome::Io, "it was not issued by a trusted authority");
            expect(&exchange, Outcome::Io, ways_out);
        }
        let empty = Trust::Ca("/dev/null".into());
        let error = Http::new(&with("localhost", empty)).err().unwrap().to_string();
        assert_eq!(error, "TLS cannot be used: /dev/null: it contains no certificate; expected certificates in PEM");
    });
}

#[test]
fn a_server_must_agree_to_http2() {
    run(async {
        for (protocols, words) in [
            (vec!["http/1.1"], "does not agree to HTTP/2 (ALPN)"),
            (vec![], "does not agree to HTTP/2: it names no protocol (ALPN)"),
        ] {
            let url = format!("https://127.0.0.1:{}", tls_server(&protocols).await);
            let http = plan::drivers::http::Http { tls: anybody(), ..http2_workload(&url, vec![step("GET", "/")]) };
            expect(&client(http).exchange(0).await, Outcome::Io, words);
        }
    });
}

#[test]
fn a_server_without_tls_is_told_so() {
    run(async {
        let (url, _) = script(vec![vec!["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"]]).await;
        let http =
            plan::drivers::http::Http { tls: anybody(), ..workload(&url.replace("http:", "https:"), vec![step("GET", "/")]) };
        expect(&client(http).exchange(0).await, Outcome::Garbage, "it does not speak TLS");
    });
}
