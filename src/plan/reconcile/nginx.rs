//! Where nginx' configuration has the page that tells its count: pure, and no more than is needed.

/// The page `stub_status`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub host: String,
    pub port: u16,
    /// A Unix socket instead of the two.
    pub socket: Option<String>,
    pub path: String,
}

/// A directive, and what stands in its braces.
struct Directive {
    words: Vec<String>,
    block: Vec<Directive>,
}

/// The first page of a configuration, if it has one.
pub(super) fn status_page(text: &str) -> Option<Page> {
    let words = words(text);
    let tree = block(&mut words.iter().map(String::as_str));
    let mut servers = Vec::new();
    find(&tree, "server", &mut servers);
    servers.into_iter().find_map(page)
}

/// The page of a `server`, and where that listens.
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

/// Words, and `;`, `{`, `}` by themselves; comments are gone, and quotes around words. A `${name}` is a part of a word.
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
        assert_eq!(status_page(&config("127.0.0.1:8090", at)), page("127.0.0.1", 8090, None, "/count"));
        assert_eq!(status_page(&config("8090", at)), page("127.0.0.1", 8090, None, "/count"));
        assert_eq!(status_page(&config("[::1]:8090", "stub_status;")), page("::1", 8090, None, "/"));
        let socket = page("localhost", 80, Some("${scratch}/count.sock"), "/");
        assert_eq!(status_page(&config("unix:${scratch}/count.sock", "location / { stub_status; }")), socket);
        for nothing in ["", "location / { return 200 \"stub_status;\"; }", "location / { stub_status off; }"] {
            assert_eq!(status_page(&config("8090", nothing)), None, "{nothing}");
        }
    }
}
