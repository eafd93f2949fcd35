//! How many requests the auth agent decides on per second and core: `auth_speed` of `selvedge-agents`.

use serde_json::{Value, json};

use super::super::pinned::{self, Core};
use crate::{Result, process, workspace};

/// Its rows that there are goals for.
pub const KNOWN: &str = "ES256, known tokens";
/// As above.
pub const NEW: &str = "ES256, new tokens";

/// Decisions per second of one kind of request.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    /// Which kind.
    pub what: String,
    /// On one thread, in time of the processor.
    pub per_second: f64,
}

/// Builds and runs it on the core of the proxies; it looks at every verdict, and ends badly at a wrong one.
pub fn measure() -> Result<Vec<Speed>> {
    println!("\nbench: the auth agent without a socket");
    let build = ["build", "--profile", "dist", "--quiet", "-p", "selvedge-agents", "--example"];
    process::run(process::cargo(&build).arg("auth_speed"))?;
    let program = workspace::target().join("dist/examples/auth_speed");
    let said = process::capture(&mut pinned::command(Core::Proxy, program))?;
    print!("{said}");
    read(&said)
}

fn read(said: &str) -> Result<Vec<Speed>> {
    said.lines()
        .map(|line| {
            let (start, _) = line.split_once(" per second").ok_or("no `per second`")?;
            let (what, number) = start.rsplit_once(' ').ok_or("no number")?;
            let per_second = number.parse().map_err(|_| format!("no number: {line}"))?;
            Ok(Speed { what: what.trim().to_owned(), per_second })
        })
        .collect::<Result<Vec<_>>>()
}

impl Speed {
    /// For the report.
    pub fn json(&self) -> Value {
        let Self { what, per_second } = self;
        json!({ "what": what, "per_second": per_second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_lines_are_read() {
        let said = "ES256, new tokens          12346 per second   81.00 µs\n";
        let speed = Speed { what: NEW.into(), per_second: 12346.0 };
        assert_eq!(read(said).unwrap(), [speed]);
        assert!(read("thread panicked\n").is_err());
    }
}
