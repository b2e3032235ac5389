//! Both ends of the channel over pipes, without a runner: an agent is a thread here.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::message::{Ended, Passed, Sent};
use crate::post::{Abandoned, Order, Post};

/// Both ends, as a controller with an agent has them: what one writes the other reads.
struct Joined {
    shared: Arc<Shared>,
    out: SyncSender<Outgoing>,
    heard: later::UnboundedReceiver<(u64, Event)>,
    post: Post,
    folder: tempfile::TempDir,
}

fn joined(clock: Clock) -> Joined {
    let folder = tempfile::tempdir().unwrap();
    let ((from_controller, to_agent), (from_agent, to_controller)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    let (events, heard) = later::unbounded_channel();
    let (out, outgoing) = mpsc::sync_channel(WAITING);
    let shared = Arc::new(Shared::new(crate::LOG_IN));
    *locked(&shared.inbox) = Some(folder.path().join("results"));
    std::thread::spawn(move || write(&mut BufWriter::new(to_agent), Clock::default(), &outgoing));
    let post = Post::open(from_controller, to_controller, clock, folder.path(), |_| ());
    let of_thread = Arc::clone(&shared);
    std::thread::spawn(move || {
        let why = read(&mut BufReader::new(from_agent), &of_thread, Clock::default(), 3, &events);
        of_thread.gone(3, why, &events);
    });
    Joined { shared, out, heard, post, folder }
}

impl Joined {
    fn say(&self, message: &ToAgent) {
        self.out.send(Outgoing::Frame(message_frame(message))).unwrap();
    }

    /// The next message that is not only a sign of life.
    async fn said(&mut self) -> ToController {
        loop {
            match self.heard.recv().await {
                Some((3, Event::Said(ToController::Alive { .. }) | Event::Compared)) => {}
                Some((3, Event::Said(message))) => return message,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn a_repetition_waits_at_a_point_until_all_are_there() {
    let mut ends = joined(Clock::default());
    wait(async {
        ends.say(&ToAgent::Execute { cell: 2, repetition: 7, found: Default::default() });
        assert!(matches!(ends.post.order().await, Some(Order::Execute(2, 7, _))));
        ends.post.begin(&Arc::new(AtomicU64::new(5)));
        let sent = vec![Sent { sent: 3, answered: 2, elsewhere: 0 }];
        let passed = Passed { point: 4, at_ns: Some(17), sent: sent.clone(), span: Some((1, 2)), found: [("token".to_owned(), "x".to_owned())].into() };
        let Joined { post, heard, out, .. } = &mut ends;
        let other = async {
            while let Some(event) = heard.recv().await {
                if let (3, Event::Said(ToController::Reached { point: 4, sent: told, .. })) = event {
                    assert_eq!(told, sent);
                    out.send(Outgoing::Frame(message_frame(&ToAgent::Passed(passed.clone())))).unwrap();
                    return;
                }
            }
        };
        let (reached, ()) = tokio::join!(post.reach(4, sent.clone(), Some((1, 2)), Default::default()), other);
        assert_eq!(reached, Ok(passed.clone()));
    });
}

#[test]
fn clocks_that_are_wrong_are_compared_within_their_bound() {
    let ahead = Duration::from_millis(500);
    let mut ends = joined(Clock::wrong(ahead, 200e-6));
    wait(async {
        for _ in 0..EXCHANGES {
            ends.out.send(Outgoing::AskTime).unwrap();
        }
        let mut compared = 0;
        while compared < EXCHANGES {
            compared += usize::from(matches!(ends.heard.recv().await, Some((3, Event::Compared))));
        }
    });
    let found = ends.shared.offset().unwrap();
    let error = found.offset_ns.abs_diff(ahead.as_nanos() as i64);
    // What it runs fast since it was made is part of the truth.
    let fast = 1_000_000;
    assert!(error <= found.bound_ns + fast, "{found:?}");
    assert!(found.bound_ns < 20_000_000, "{found:?}");
}

#[test]
fn files_arrive_below_their_folder_before_the_end_is_told() {
    let mut ends = joined(Clock::default());
    let from = tempfile::tempdir().unwrap();
    std::fs::create_dir(from.path().join("logs")).unwrap();
    let long: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    std::fs::write(from.path().join("logs/server.out"), &long).unwrap();
    std::fs::write(from.path().join("status.json"), "{}").unwrap();
    let files = crate::files_below(from.path()).unwrap();
    let post = &ends.post;
    std::thread::scope(|scope| {
        scope.spawn(|| post.end(&files, Ended { late_ns: 9, ..Ended::default() }).unwrap());
    });
    let ended = wait(ends.said());
    assert_eq!(ended, ToController::Ended(Ended { late_ns: 9, ..Ended::default() }));
    let results = ends.folder.path().join("results");
    assert_eq!(std::fs::read(results.join("logs/server.out")).unwrap(), long);
    assert_eq!(std::fs::read(results.join("status.json")).unwrap(), b"{}");
}

#[test]
fn what_brought_a_repetition_down_is_heard_at_every_point() {
    let ends = joined(Clock::default());
    wait(async {
        ends.say(&ToAgent::Execute { cell: 0, repetition: 1, found: Default::default() });
        assert!(matches!(ends.post.order().await, Some(Order::Execute(0, 1, _))));
        ends.say(&ToAgent::Abandon { host: Some("b".to_owned()), why: "its target died".to_owned() });
        let abandoned = ends.post.reach(1, Vec::new(), None, Default::default()).await.unwrap_err();
        assert_eq!(abandoned, Abandoned { host: Some("b".to_owned()), why: "its target died".to_owned() });
        // The next repetition starts without it.
        ends.say(&ToAgent::Execute { cell: 0, repetition: 2, found: Default::default() });
        assert!(matches!(ends.post.order().await, Some(Order::Execute(0, 2, _))));
        ends.say(&ToAgent::Passed(Passed { point: 1, at_ns: None, sent: Vec::new(), span: None, found: Default::default() }));
        assert_eq!(ends.post.reach(1, Vec::new(), None, Default::default()).await.unwrap().point, 1);
    });
}

#[test]
fn an_end_of_the_channel_is_told_once_with_its_reason() {
    let mut ends = joined(Clock::default());
    let Joined { post, .. } = &ends;
    post.say(&ToController::Broke { why: "x".to_owned() });
    assert_eq!(wait(ends.said()), ToController::Broke { why: "x".to_owned() });
    let Joined { post, mut heard, out, shared, folder } = ends;
    drop((post, out));
    wait(async {
        let gone = loop {
            match heard.recv().await {
                Some((3, Event::Gone(why))) => break why,
                Some(_) => {}
                None => panic!("the channel ended without a word"),
            }
        };
        assert_eq!(gone, "the agent has ended");
        assert!(heard.recv().await.is_none());
    });
    drop((shared, folder));
}
