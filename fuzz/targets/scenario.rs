//! Any text is a plan or a list of mistakes that can be shown; nothing panics, nothing hangs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plan_read::{Document, Options, Rejection, build};
use schema::source::render_all;

fuzz_target!(|text: &str| {
    let mistakes = match Document::inline("fuzz.yaml", text) {
        Err(mistake) => vec![*mistake],
        Ok(document) => match build(&document, &Options::default(), 1) {
            Err(Rejection::Mistakes(mistakes)) => mistakes,
            Err(Rejection::Option(option)) => panic!("no option was given, and `{option}` does not fit"),
            Ok(plan) => {
                // What can be built can also be written down.
                assert!(serde_json::to_string(&plan).is_ok_and(|text| !text.is_empty()));
                return;
            }
        },
    };
    assert!(!mistakes.is_empty(), "neither a plan nor a mistake");
    for colour in [false, true] {
        assert!(!render_all(&mistakes, colour).is_empty());
    }
});
