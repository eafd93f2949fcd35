//! Our engine, asked as `replay` says.
//!
//! `waf_engine [--native] [--work UNITS] [--body-max BYTES] [--arguments COUNT] RULES… -- RECORDS…`

use std::{error::Error, path::PathBuf, time::Instant};

use selvedge_bench_waf::{clock, replay, subject, subject::Subject};
use selvedge_waf::{native, policy::Policy};

fn main() -> Result<(), Box<dyn Error>> {
    let Order { native, policy, rules, records } = Order::parse(std::env::args().skip(1))?;
    let start = Instant::now();
    let set = if native { native::bundled() } else { subject::load(&rules)? };
    let mut subject = Subject::new(&set, policy)?;
    let load = start.elapsed();
    Ok(replay::serve(&mut subject, &records, load, clock::thread_ns)?)
}

/// What the command line says.
struct Order {
    native: bool,
    policy: Policy,
    rules: Vec<PathBuf>,
    records: Vec<String>,
}

impl Order {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (mut native, mut policy, mut rules) = (false, Policy::default(), Vec::new());
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--native" => native = true,
                "--work" => policy.limits.work = value()?.parse()?,
                "--body-max" => policy.limits.request_body_bytes = value()?.parse()?,
                "--arguments" => policy.limits.arguments = value()?.parse()?,
                "--" => break,
                _ => rules.push(word.into()),
            }
        }
        Ok(Self { native, policy, rules, records: words.collect() })
    }
}
