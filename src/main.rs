//! The program `shoal`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    shoal::cli::main()
}
