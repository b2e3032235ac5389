//! The servers that ship with the project, as they are installed beside `runner`; all of it is in [`fixtures`].

use std::process::ExitCode;

fn main() -> ExitCode {
    fixtures::main()
}
