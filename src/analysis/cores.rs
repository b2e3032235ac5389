//! Work spread over the cores, on separate threads.
//!
//! rayon alone would do if it were not for polars: a rayon thread that waits for polars starts the next piece of work
//! meanwhile, then waits in that one, until all pieces have been started and are in memory at once.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// Whether this thread is already one of several, which are enough.
    static IS_ONE_OF_MANY: Cell<bool> = const { Cell::new(false) };
}

/// The results of `each` for all items, in the order of the items. As many items are processed at a time as rayon has
/// threads (`RAYON_NUM_THREADS`, or one for each core); within another such call, one after the other.
pub(super) fn on_all_cores<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() < 2 || IS_ONE_OF_MANY.get() {
        return items.iter().map(each).collect();
    }
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let work = || {
        IS_ONE_OF_MANY.set(true);
        while let Some((at, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?))) {
            let made = each(item);
            found.lock().expect("no thread panics while it holds it").push((at, made));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..rayon::current_num_threads().min(items.len()) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().expect("a panic of a thread has ended the scope");
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, made)| made).collect()
}

/// Calls a function on a separate thread.
///
/// polars refuses to work on a thread on which futures are polled, and a run is summarized on such a thread.
pub(super) fn on_a_thread<R: Send>(each: impl FnOnce() -> R + Send) -> R {
    let ended = std::thread::scope(|scope| scope.spawn(each).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_item_is_worked_on_once_and_in_its_place() {
        let items: Vec<u64> = (0..1000).collect();
        assert_eq!(super::on_all_cores(&items, |n| n * n), items.iter().map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(super::on_all_cores(&[] as &[u64], |n| *n), Vec::<u64>::new());
    }
}
