//! TLS wherever a URL may stand: whom to believe, what a server is called, and who asks.
//!
//! Where nginx or openssl is not installed these tests say so and do nothing.

use crate::http::{certificate, certificates, installed, nginx};
use crate::support::Place;

/// A probe, a set-up step, something collected and a load, all over TLS with the same `tls`.
const SCENARIO: &str = "
experiment: test
let: {tls: {TLS}}
targets:
  nginx:
    command: [nginx, -p, DIR, -e, DIR/error.log, -c, DIR/nginx.conf]
    port: PORT1
    ready: {http: \"https://127.0.0.1:PORT1/up\", tls: \"${tls}\", timeout: 2s}
set-up:
  load: [{get: \"https://127.0.0.1:PORT1/set-up\", tls: \"${tls}\", expect: {text: '{\"n\": 7}'}}]
collect:
  stats: {get: \"https://127.0.0.1:PORT1/stats\", tls: \"${tls}\", metrics: {n: {json: /n}}}
workloads:
  clients:
    url: https://127.0.0.1:PORT1
    http: {version: VERSION}
    tls: ${tls}
    load: {closed: {connections: 1}, amount: 3}
    steps: [{get: /load}]
";

/// nginx with one server, which answers with JSON.
fn one_server(lines: &str) -> Place {
    let server = "server { listen 127.0.0.1:PORT1 ssl http2; LINES location / { return 200 '{\"n\": 7}'; } }";
    let mut place = nginx(&server.replace("LINES", lines));
    certificates(&mut place);
    place
}

/// Runs the scenario with what stands in `tls`.
fn run(place: &mut Place, tls: &str, version: &str) -> crate::support::Outcome {
    let _ = std::fs::remove_file(place.path("access.log"));
    place.write("test.yaml", &SCENARIO.replace("TLS", tls).replace("VERSION", version));
    place.run(&["run", "test.yaml", "--no-graphs"])
}

/// The paths that nginx was asked for, each once, in the order in which they came first.
fn asked(place: &Place) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for line in place.lines("access.log") {
        let path = line.split(' ').nth(3).unwrap_or_default().to_owned();
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

const ALL: [&str; 4] = ["/up", "/set-up", "/load", "/stats"];

#[test]
fn probes_steps_and_what_is_collected_speak_it_as_loads_do() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    let mut place = one_server("ssl_certificate DIR/server.pem; ssl_certificate_key DIR/server.key;");
    for (tls, version) in [("ca: DIR/ca.pem", "1"), ("verify: false", "2")] {
        run(&mut place, tls, version).expect(0);
        assert_eq!(asked(&place), ALL, "{tls}");
    }
    run(&mut place, "ca: DIR/server.pem", "1").expect(4).complains(&[
        "nginx was not ready within 2s",
        "its certificate is not accepted",
        "`tls: {ca: …}`",
    ]);
    assert!(asked(&place).is_empty());
}

#[test]
fn a_server_may_have_another_name_than_its_address() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    // Whoever does not say the name does not get further than the handshake. In requests the host is that of the URL.
    let mut place = one_server("server_name shop.example; ssl_certificate DIR/shop.pem; ssl_certificate_key DIR/shop.key;");
    certificate(&mut place, "shop", "DNS:shop.example");
    let nameless = "    server { listen 127.0.0.1:PORT1 ssl default_server; ssl_reject_handshake on; location / { return 200 '{\"n\": 7}'; } }\n}";
    let configuration = std::fs::read_to_string(place.path("nginx.conf")).unwrap();
    let configuration = format!("{}{nameless}\n", configuration.trim_end().trim_end_matches('}'));
    place.write("nginx.conf", &configuration);
    for version in ["1", "2"] {
        run(&mut place, "ca: DIR/ca.pem, name: shop.example", version).expect(0);
        assert_eq!(asked(&place), ALL);
    }
    run(&mut place, "ca: DIR/ca.pem", "1").expect(4).complains(&["nginx was not ready within 2s", "the TLS handshake failed"]);
    run(&mut place, "verify: false, name: other.example", "1").expect(4).complains(&["the TLS handshake failed"]);
    assert!(asked(&place).is_empty());
}

#[test]
fn a_server_may_ask_who_is_there() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    let lines = "ssl_certificate DIR/server.pem; ssl_certificate_key DIR/server.key; ssl_verify_client on; \
                 ssl_client_certificate DIR/ca.pem;";
    let mut place = one_server(lines);
    certificate(&mut place, "client", "DNS:client.example");
    for version in ["1", "2"] {
        run(&mut place, "ca: DIR/ca.pem, cert: DIR/client.pem, key: DIR/client.key", version).expect(0);
        assert_eq!(asked(&place), ALL);
    }
    run(&mut place, "ca: DIR/ca.pem", "1").expect(4).complains(&["https://127.0.0.1:", "/up answered 400"]);
    run(&mut place, "ca: DIR/ca.pem, cert: DIR/client.pem, key: DIR/server.key", "1")
        .expect(4)
        .complains(&["server.key: the key does not belong to the certificate; expected the key of ", "client.pem"]);
    run(&mut place, "ca: DIR/ca.pem, cert: DIR/client.pem, key: DIR/client.pem", "1")
        .expect(4)
        .complains(&["client.pem: it contains no key; expected a key in PEM"]);
}

#[test]
fn a_redirect_does_not_tell_strangers_who_asks() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    let mut place = nginx(
        "
    ssl_certificate DIR/server.pem;
    ssl_certificate_key DIR/server.key;
    ssl_client_certificate DIR/ca.pem;
    ssl_verify_client optional;
    server {
        listen 127.0.0.1:PORT1 ssl;
        location = /here { return 200 $ssl_client_verify; }
        location = /there { return 302 https://127.0.0.1:PORT2/; }
    }
    server { listen 127.0.0.1:PORT2 ssl; location / { return 200 $ssl_client_verify; } }",
    );
    certificates(&mut place);
    certificate(&mut place, "client", "DNS:client.example");
    for (trust, word) in [("", "NONE"), (", trust: [https://127.0.0.1:PORT2]", "SUCCESS")] {
        let scenario = "
experiment: test
targets:
  nginx: {command: [nginx, -p, DIR, -e, DIR/error.log, -c, DIR/nginx.conf], port: PORT1}
workloads:
  clients:
    url: https://127.0.0.1:PORT1
    http: {redirects: {most: 1TRUST}}
    tls: {ca: DIR/ca.pem, cert: DIR/client.pem, key: DIR/client.key}
    load: {closed: {connections: 1}, amount: 3}
    steps: [{get: /here, expect: {text: SUCCESS}}, {get: /there, expect: {text: WORD}}]
";
        place.write("test.yaml", &scenario.replace("TRUST", trust).replace("WORD", word));
        place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    }
}
