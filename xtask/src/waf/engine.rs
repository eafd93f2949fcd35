//! A program with an engine inside that replays records; `bench/waf/src/replay.rs` says how one is asked.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::Result;

/// An engine that runs.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// How long its rules took to load.
    pub load_us: u64,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// 0, or the status it was refused with.
    pub status: u16,
    /// Time of the processor.
    pub ns: u64,
    /// The rules that matched, in the order of their numbers.
    pub ids: Vec<u64>,
}

/// What became of a slice of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// One by one.
    pub judged: Vec<Judged>,
    /// Memory that the program holds after it.
    pub memory_kib: u64,
}

impl Engine {
    /// Starts `command` with these rules and files of records.
    pub fn start(command: &mut Command, rules: &[PathBuf], records: &[PathBuf]) -> Result<Self> {
        command.args(rules).arg("--").args(records);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut engine = Self { child, input, output, load_us: 0 };
        let line = engine.line()?;
        let load_us =
            line.strip_prefix("ready ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        engine.load_us = load_us.ok_or_else(|| format!("not ready: {line}"))?;
        Ok(engine)
    }

    /// Replays the requests `from..to` of a file.
    pub fn replay(&mut self, file: usize, from: usize, to: usize) -> Result<Replay> {
        let input = self.input.as_mut().ok_or("its input is closed")?;
        writeln!(input, "{file} {from} {to}")?;
        let mut replay = Replay::default();
        loop {
            let line = self.line()?;
            if let Some(rest) = line.strip_prefix("done ") {
                let kib = rest.split(' ').nth(1).and_then(|kib| kib.parse().ok());
                replay.memory_kib = kib.ok_or_else(|| format!("no memory: {line}"))?;
                break;
            }
            replay.judged.push(judged(&line).ok_or_else(|| format!("not an answer: {line}"))?);
        }
        if replay.judged.len() != to - from {
            return Err(format!("{} answers to {} requests", replay.judged.len(), to - from).into());
        }
        Ok(replay)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            return Err(format!("an engine ended by itself: {status}").into());
        }
        Ok(line.trim_end_matches('\n').to_owned())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It ends once nothing more is asked; if it is in the midst of something, it is stopped.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn judged(line: &str) -> Option<Judged> {
    let mut words = line.split(' ').skip(1);
    let (status, ns) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let ids = words.next()?.split(',').filter(|id| !id.is_empty());
    let mut ids: Vec<u64> = ids.map(|id| id.parse().ok()).collect::<Option<_>>()?;
    ids.sort_unstable();
    ids.dedup();
    Some(Judged { status, ns, ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let ids = vec![920_100, 942_100];
        assert_eq!(
            judged("7 403 1200 942100,920100,942100"),
            Some(Judged { status: 403, ns: 1200, ids })
        );
        assert_eq!(judged("7 0 5 "), Some(Judged { status: 0, ns: 5, ids: Vec::new() }));
        assert_eq!(judged("7 0"), None);
    }
}
