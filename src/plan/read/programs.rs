//! Which programs are missing.

use plan::cache;
use plan::programs::{FIXTURES_PROGRAM, find_program};

/// The program of a command line if it is not installed. A program whose name contains late names or is relative to
/// another folder is not checked.
pub(super) fn missing_program(program: &str, dir: Option<&str>) -> Option<String> {
    let elsewhere = program.contains('/') && !program.starts_with('/') && dir.is_some();
    let late = program.contains("${") || cache::is_inside(program);
    let knowable = program != FIXTURES_PROGRAM && !elsewhere && !late;
    (knowable && find_program(program).is_none()).then(|| program.to_owned())
}

/// Why a cell is skipped, if a program that it needs is missing.
pub(super) fn missing_need(needs: &[String]) -> Option<String> {
    needs.iter().find(|n| find_program(n).is_none()).map(|name| format!("{name} is not installed"))
}
