//! Which bytes of a path go over the wire: the same ones on each path through the client, or none.

use std::cell::RefCell;

use bytes::Bytes;
use plan::{Draw, DrawnFrom, Part};
use proptest::prelude::*;

use super::*;

/// Odd paths are made from these.
const PIECES: [&str; 38] = [
    "a", "/", "//", ".", "/./", "/../", "%2F", "%2e", "%", "%4", "%zz", "%%41", "?", "#", "&x=", ";", "+", "~", "'", "$", ":",
    "@", "ü", "日", " ", "\t", "\u{a0}", "\u{7f}", "|", "\\", "^", "`", "\"", "<>", "{", "}", "[", "]",
];

/// What was requested from servers, in this order.
type Seen = Rc<RefCell<Vec<String>>>;

/// Two servers that answer everything, over HTTP/1.1 and HTTP/2, and note the target of each request.
async fn servers() -> ([String; 2], Seen) {
    let seen = Seen::default();
    let [one, two] = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let urls = [&one, &two].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    let noted = Rc::clone(&seen);
    spawn_local(async move {
        loop {
            let (mut stream, _) = one.accept().await.unwrap();
            let noted = Rc::clone(&noted);
            spawn_local(async move {
                let mut buffer = [0; 4096];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    let Some(line) = buffer[..read].split(|byte| *byte == b'\r').next().filter(|line| !line.is_empty()) else {
                        return;
                    };
                    let line = String::from_utf8_lossy(line).into_owned();
                    let target = line.strip_prefix("GET ").and_then(|line| line.strip_suffix(" HTTP/1.1"));
                    noted.borrow_mut().push(target.unwrap_or(&line).to_owned());
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let noted = Rc::clone(&seen);
    spawn_local(async move {
        loop {
            let (stream, _) = two.accept().await.unwrap();
            let noted = Rc::clone(&noted);
            spawn_local(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    noted.borrow_mut().push(request.uri().path_and_query().unwrap().as_str().to_owned());
                    let mut body = respond.send_response(hyper::Response::new(()), false).unwrap();
                    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
                }
            });
        }
    });
    (urls, seen)
}

/// The same requests on the lean path, on the general one, and over HTTP/2.
fn ways(urls: &[String; 2], steps: &[plan::Step]) -> [plan::drivers::http::Http; 3] {
    [workload(&urls[0], steps.to_vec()), general(&urls[0], steps.to_vec()), http2_workload(&urls[1], steps.to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_way_sends_the_same_path(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..7)) {
        let inserted: String = pieces.concat();
        let path = format!("/{inserted}");
        run(async {
            let (urls, seen) = servers().await;
            let fixed = plan::Step { path: Template(vec![Part::Text(path.clone())]), ..step("GET", "/") };
            let late = step("GET", "/${it}");
            let draws = vec![Draw { name: "it".to_owned(), of: DrawnFrom::List(vec![inserted.clone()]) }];
            let sent = plan::url::sent(&path);
            for (fixed, late) in ways(&urls, &[fixed]).into_iter().zip(ways(&urls, &[late])) {
                let mut late = client(plan::drivers::http::Http { draws: draws.clone(), ..late });
                late.begin_pass(0);
                match &sent {
                    Ok(sent) => {
                        for mut client in [client(fixed), late] {
                            assert_eq!(told(&client.exchange(0).await), Ok(5), "{path:?}");
                            assert_eq!(seen.borrow_mut().pop().as_deref(), Some(&**sent), "{path:?}");
                        }
                    }
                    Err(unsendable) => {
                        assert!(Http::new(&fixed).err().unwrap().to_string().contains(unsendable.found()), "{path:?}");
                        // An inserted value may be secret: usually only what is wrong with it is reported.
                        let failure = late.exchange(0).await.result.unwrap_err();
                        let is_told = ["the inserted value contains", unsendable.found()].iter().any(|words| failure.words.contains(words));
                        assert!(failure.outcome == Outcome::Carry && is_told, "{path:?}: {}", failure.words);
                    }
                }
                assert!(seen.borrow().is_empty(), "{path:?}");
            }
        });
    }
}
