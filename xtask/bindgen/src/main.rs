//! `selvedge-bindgen MODULE FOLDER NAME`: writes the WASM module and its JavaScript, with types, into the folder as `NAME_bg.wasm`,
//! `NAME.js` and `NAME.d.ts`.
//!
//! It is the library of `wasm-bindgen`'s command line, at the version that the lockfile has for both sides: nothing is installed beside cargo.
#![expect(clippy::print_stderr, reason = "a tool for builds")]

use std::{env, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, folder, name] = arguments.as_slice() else {
        eprintln!("bindgen: say MODULE FOLDER NAME");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).remove_name_section(true).typescript(true);
    match bindgen.web(true).and_then(|bindgen| bindgen.generate(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bindgen: {module}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
