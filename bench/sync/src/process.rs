//! What the server's processes use.

use std::fs;

use crate::Result;

/// USER_HZ: the same on every Linux that /proc is read on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of these processes so far, in seconds.
pub fn cpu_seconds(processes: &[u32]) -> Result<f64> {
    let ticks = processes.iter().map(|id| {
        let line = fs::read_to_string(format!("/proc/{id}/stat"))?;
        ticks(&line).ok_or_else(|| format!("process {id} counts no ticks").into())
    });
    Ok(ticks.sum::<Result<u64>>()? as f64 / TICKS_PER_SECOND)
}

/// proc_pid_stat(5): utime and stime. The name in parentheses may hold anything, so fields count from its end.
fn ticks(line: &str) -> Option<u64> {
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Proportional set of these processes, in bytes.
pub fn memory(processes: &[u32]) -> Result<i64> {
    processes.iter().map(|id| proportional_set(*id)).sum()
}

fn proportional_set(id: u32) -> Result<i64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<i64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| format!("process {id} shows no memory").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_past_any_name() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 0 0 0 150 850 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(line), Some(1000));
        assert_eq!(ticks("42 (a"), None);
    }
}
