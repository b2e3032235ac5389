//! What nginx's configuration says about its count, and to whom it forwards requests: pure, and no more than is needed.

/// The page `stub_status`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub host: String,
    pub port: u16,
    /// A Unix socket instead of the two.
    pub socket: Option<String>,
    pub path: String,
}

/// A directive, and the content of its braces.
struct Directive {
    words: Vec<String>,
    block: Vec<Directive>,
}

/// What lets a `server` answer a request in any way other than forwarding it once.
const ANSWERS: [&str; 18] = [
    "return",
    "root",
    "alias",
    "try_files",
    "index",
    "rewrite",
    "if",
    "error_page",
    "deny",
    "auth_basic",
    "auth_request",
    "limit_req",
    "limit_conn",
    "mirror",
    "proxy_cache",
    "fastcgi_pass",
    "uwsgi_pass",
    "grpc_pass",
];

/// What a configuration of nginx says about counting and about where requests go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// The first page, if there is one.
    pub page: Option<Page>,
    /// Addresses of the servers to which it forwards requests; `None` if it may answer some itself.
    pub servers: Vec<String>,
}

/// Reads a configuration.
pub(super) fn read(text: &str) -> Config {
    let words = words(text);
    let tree = block(&mut words.iter().map(String::as_str));
    let mut servers = Vec::new();
    find(&tree, "server", &mut servers);
    let measured: Vec<&Directive> = servers.iter().copied().filter(|s| page(s).is_none()).collect();
    Config { page: servers.into_iter().find_map(page), servers: passes_on(&tree, &measured).unwrap_or_default() }
}

/// The servers to which these `server`s forward every request.
fn passes_on(tree: &[Directive], servers: &[&Directive]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for server in servers {
        let said = |name: &str| {
            let mut said = Vec::new();
            find_all(&server.block, name, &mut said);
            said
        };
        let targets = said("proxy_pass");
        if targets.is_empty() || ANSWERS.iter().any(|word| !said(word).is_empty()) {
            return None;
        }
        for target in targets {
            let host = target.words.get(1)?.strip_prefix("http://")?.trim_end_matches('/');
            let mut upstreams = Vec::new();
            find(tree, "upstream", &mut upstreams);
            match upstreams.iter().find(|u| u.words.get(1).is_some_and(|name| name == host)) {
                Some(upstream) => {
                    let of = upstream.block.iter().filter(|d| d.words[0] == "server");
                    found.extend(of.filter_map(|d| d.words.get(1).cloned()));
                }
                None => found.push(host.to_owned()),
            }
        }
    }
    Some(found)
}

fn find_all<'t>(tree: &'t [Directive], name: &str, found: &mut Vec<&'t Directive>) {
    for directive in tree {
        if directive.words[0] == name {
            found.push(directive);
        }
        find_all(&directive.block, name, found);
    }
}

/// The page of a `server`, and where it listens.
fn page(server: &Directive) -> Option<Page> {
    let says = |d: &Directive| d.block.iter().any(|d| d.words[0] == "stub_status" && d.words.last().is_none_or(|w| w != "off"));
    let location = server.block.iter().find(|d| d.words[0] == "location" && says(d));
    let path = match location {
        Some(location) => location.words.last().filter(|w| w.starts_with('/'))?.clone(),
        None if says(server) => "/".to_owned(),
        None => return None,
    };
    let listen = server.block.iter().find(|d| d.words[0] == "listen").and_then(|d| d.words.get(1)).map_or("80", String::as_str);
    if let Some(socket) = listen.strip_prefix("unix:") {
        return Some(Page { host: "localhost".to_owned(), port: 80, socket: Some(socket.to_owned()), path });
    }
    let (host, port) = match listen.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port),
        _ if listen.parse::<u16>().is_ok() => ("*", listen),
        _ => (listen, "80"),
    };
    let host = if matches!(host, "*" | "0.0.0.0" | "[::]") { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
    Some(Page { host: host.to_owned(), port: port.parse().ok()?, socket: None, path })
}

fn find<'t>(tree: &'t [Directive], name: &str, found: &mut Vec<&'t Directive>) {
    for directive in tree {
        if directive.words[0] == name && !directive.block.is_empty() {
            found.push(directive);
        }
        find(&directive.block, name, found);
    }
}

/// Directives up to the brace that closes the block, or to the end.
fn block<'w>(words: &mut impl Iterator<Item = &'w str>) -> Vec<Directive> {
    let (mut found, mut current) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "}" => break,
            ";" | "{" => {
                let inside = if word == "{" { block(words) } else { Vec::new() };
                if !current.is_empty() {
                    found.push(Directive { words: std::mem::take(&mut current), block: inside });
                }
            }
            word => current.push(word.to_owned()),
        }
    }
    found
}

/// Words, and `;`, `{`, `}` as separate items, without comments and the quotes around words. A `${name}` is a part of a
/// word.
fn words(text: &str) -> Vec<String> {
    let (mut found, mut word) = (Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '#' if word.is_empty() => drop(characters.by_ref().find(|c| *c == '\n')),
            '"' | '\'' if word.is_empty() => word.extend(characters.by_ref().take_while(|end| *end != c)),
            '$' if characters.peek() == Some(&'{') => {
                word.push(c);
                for c in characters.by_ref() {
                    word.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            ';' | '{' | '}' => {
                if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
                found.push(c.to_string());
            }
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_found_with_its_address() {
        let config = |listen: &str, location: &str| {
            format!(
                "# stub_status;\nevents {{}}\nhttp {{\n server {{ listen 81; }}\n server {{ listen {listen} backlog=9; {location} }}\n}}\n"
            )
        };
        let page = |host: &str, port, socket: Option<&str>, path: &str| {
            Some(Page { host: host.to_owned(), port, socket: socket.map(str::to_owned), path: path.to_owned() })
        };
        let at = "location = /count { stub_status; }";
        assert_eq!(read(&config("127.0.0.1:8090", at)).page, page("127.0.0.1", 8090, None, "/count"));
        assert_eq!(read(&config("8090", at)).page, page("127.0.0.1", 8090, None, "/count"));
        assert_eq!(read(&config("[::1]:8090", "stub_status;")).page, page("::1", 8090, None, "/"));
        let socket = page("localhost", 80, Some("${scratch}/count.sock"), "/");
        assert_eq!(read(&config("unix:${scratch}/count.sock", "location / { stub_status; }")).page, socket);
        for nothing in ["", "location / { return 200 \"stub_status;\"; }", "location / { stub_status off; }"] {
            assert_eq!(read(&config("8090", nothing)).page, None, "{nothing}");
        }
    }

    #[test]
    fn a_server_that_does_nothing_but_pass_on_is_known() {
        let of = |inside: &str| {
            let servers = "upstream blobs { keepalive 64; server 127.0.0.1:1; server 127.0.0.1:2 max_fails=0; }";
            let page = "server { listen unix:/x; location / { stub_status; } }";
            read(&format!("http {{ {servers} server {{ listen 8000; {inside} }} {page} }}")).servers
        };
        assert_eq!(of("location / { proxy_pass http://blobs; proxy_buffering off; }"), ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(of("location / { proxy_pass http://127.0.0.1:9; }"), ["127.0.0.1:9"]);
        for inside in [
            "location / { proxy_pass http://blobs; proxy_cache one; }",
            "location / { proxy_pass http://blobs; } location /x { return 200; }",
            "location / { root /x; }",
            "location / { proxy_pass http://unix:/x; error_page 500 /x; }",
        ] {
            assert!(of(inside).is_empty(), "{inside}");
        }
    }
}
