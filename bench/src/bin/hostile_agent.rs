//! `hostile_agent FILE`: an agent that misbehaves as the word in the file orders; see `selvedge_bench::hostile`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use selvedge_bench::hostile::{self, Orders};

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(file) => hostile::run(Orders::new(file.into())),
        None => {
            let _ = writeln!(io::stderr(), "hostile_agent: give the FILE with its orders");
            ExitCode::from(64)
        }
    }
}
