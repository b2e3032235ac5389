//! What haproxy's configuration says about its counts: pure, and no more than is needed.

/// What a configuration of haproxy says about counting and about where requests go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// The stats socket: a path, or `host:port`.
    pub socket: Option<String>,
    /// Where it is read.
    pub frontends: Vec<Frontend>,
    /// Addresses of the servers to which it forwards requests; `None` if it may answer some itself.
    pub servers: Vec<String>,
    /// Whether it sends requests of its own, as health checks.
    pub checks: bool,
}

/// A `frontend` or `listen` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frontend {
    pub name: String,
    pub ports: Vec<u16>,
    /// Whether it reads requests, and so can count them.
    pub http: bool,
}

/// What lets it answer a request itself.
const ANSWERS: [&str; 8] = ["return", "deny", "tarpit", "redirect", "silent-drop", "use-service", "auth", "cache-use"];

/// Reads a configuration.
pub(super) fn read(text: &str) -> Config {
    let mut config = Config::default();
    let (mut section, mut http_by_default, mut check, mut http_check) = (String::new(), false, false, false);
    let mut answers = false;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [kind @ ("frontend" | "listen"), name, ..] => {
                (*kind).clone_into(&mut section);
                config.frontends.push(Frontend { name: (*name).to_owned(), ports: Vec::new(), http: http_by_default });
            }
            [
                kind @ ("global" | "defaults" | "backend" | "peers" | "resolvers" | "userlist" | "program" | "ring" | "cache"),
                ..,
            ] => {
                (*kind).clone_into(&mut section);
            }
            ["stats", "socket", address, ..] if section == "global" => {
                let address = address.trim_start_matches("unix@").trim_start_matches("ipv4@");
                config.socket.get_or_insert_with(|| address.to_owned());
            }
            ["mode", mode] if section == "defaults" => http_by_default = *mode == "http",
            ["mode", mode] if matches!(section.as_str(), "frontend" | "listen") => {
                config.frontends.iter_mut().last().into_iter().for_each(|f| f.http = *mode == "http");
            }
            ["bind", addresses, ..] => {
                let ports = addresses.split(',').filter_map(|a| a.rsplit_once(':')?.1.parse::<u16>().ok());
                config.frontends.iter_mut().last().into_iter().for_each(|f| f.ports.extend(ports.clone()));
            }
            ["server", _, address, options @ ..] if matches!(section.as_str(), "backend" | "listen") => {
                config.servers.push((*address).to_owned());
                check |= options.contains(&"check");
            }
            ["default-server", options @ ..] => check |= options.contains(&"check"),
            ["option", "httpchk", ..] | ["http-check", ..] => http_check = true,
            ["http-request", action, ..] => answers |= ANSWERS.contains(action),
            ["redirect" | "monitor-uri", ..] | ["stats", "uri" | "enable", ..] => answers = true,
            _ => {}
        }
    }
    // Other checks only connect.
    config.checks = check && http_check;
    if answers {
        config.servers.clear();
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_found() {
        let config = read(
            "global
    stats socket ${scratch}/haproxy.sock mode 600   # who asks
defaults
    mode http
frontend clients
    bind 127.0.0.1:8000,[::1]:8001 alpn h2
    default_backend blobs
listen raw
    mode tcp
    bind :9000
backend blobs
    option httpchk
    server a 127.0.0.1:8011 check
    server b 127.0.0.1:8012
",
        );
        let frontend = |name: &str, ports: &[u16], http| Frontend { name: name.to_owned(), ports: ports.to_vec(), http };
        assert_eq!(config.socket.as_deref(), Some("${scratch}/haproxy.sock"));
        assert_eq!(config.frontends, [frontend("clients", &[8000, 8001], true), frontend("raw", &[9000], false)]);
        assert_eq!(config.servers, ["127.0.0.1:8011", "127.0.0.1:8012"]);
        assert!(config.checks);
    }

    #[test]
    fn who_may_answer_by_itself_passes_on_an_unknown_part() {
        let of = |line: &str| read(&format!("listen x\n bind :1\n {line}\n server a 127.0.0.1:2\n")).servers.len();
        assert_eq!(of("http-request set-header a b"), 1);
        for line in ["http-request deny if { path /no }", "redirect location /", "stats enable", "http-request cache-use c"] {
            assert_eq!(of(line), 0, "{line}");
        }
    }

    #[test]
    fn a_check_that_only_connects_is_no_request() {
        assert!(!read("backend x\n server a 127.0.0.1:1 check\n").checks);
        assert!(!read("backend x\n option httpchk\n server a 127.0.0.1:1\n").checks);
        assert_eq!(read(""), Config::default());
    }
}
