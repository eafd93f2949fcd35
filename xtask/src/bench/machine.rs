//! What was measured where: without it a figure means nothing.

use std::fs;

use serde_json::{Value, json};

use super::{load, peer::Place, pinned};
use crate::{Result, process};

/// USER_HZ: the same on every Linux that /proc is read on.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// The machine and the versions of all programs that a benchmark of proxies involves.
pub fn describe(place: &Place) -> Result<Value> {
    let mut machine = hardware()?;
    machine["versions"] = versions(place)?;
    Ok(machine)
}

/// The machine.
pub fn hardware() -> Result<Value> {
    let cpu_info = fs::read_to_string("/proc/cpuinfo")?;
    let cores = cpu_info.lines().filter(|line| line.starts_with("processor")).count();
    if cores < 2 {
        return Err("one core for the proxy and one for the load: two cores are needed".into());
    }
    Ok(json!({
        "cpu": field(&cpu_info, "model name"),
        "cores": cores,
        "memory": field(&fs::read_to_string("/proc/meminfo")?, "MemTotal"),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        "system": field(&fs::read_to_string("/etc/os-release")?, "PRETTY_NAME"),
        "hypervisor": cpu_info.contains("hypervisor"),
    }))
}

/// The commit that is measured.
pub fn commit() -> Result<String> {
    let git = process::output("git", &["rev-parse", "--short", "HEAD"])?;
    let clean = process::output("git", &["status", "--porcelain"])?.is_empty();
    Ok(format!("{}{}", git.trim(), if clean { "" } else { " with changes" }))
}

/// Today in UTC, as `YYYY-MM-DD`.
pub fn today() -> Result<String> {
    Ok(process::output("date", &["--utc", "+%F"])?.trim().to_owned())
}

/// TCP segments that this machine has sent since it started.
pub fn segments_sent() -> Result<u64> {
    let snmp = fs::read_to_string("/proc/net/snmp")?;
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().unwrap_or_default(), tcp.next().unwrap_or_default());
    let place = names.split(' ').position(|name| name == "OutSegs");
    let value = place.and_then(|place| values.split(' ').nth(place)?.parse().ok());
    value.ok_or_else(|| "/proc/net/snmp counts no TCP segments".into())
}

/// Seconds for which the proxies' core has not been idle since start: anybody's work, and what the hypervisor took away.
pub fn proxy_core_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = stat.lines().find_map(|line| line.strip_prefix("cpu0 ")).and_then(busy_ticks);
    let ticks = ticks.ok_or("/proc/stat counts no ticks of core 0")?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal, …
fn busy_ticks(line: &str) -> Option<u64> {
    let ticks: Vec<u64> = line.split(' ').map_while(|ticks| ticks.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

fn versions(place: &Place) -> Result<Value> {
    Ok(json!({
        "selvedge": commit()?,
        "rustc": said("rustc", &["--version"]),
        "nginx": said("nginx", &["-v"]),
        "haproxy": said("haproxy", &["-v"]),
        "hyper": place.version_of("hyper")?,
        "wrk": said("wrk", &["-v"]),
        "h2load": said("h2load", &["--version"]),
        "oha": load::oha_version(),
        "openssl": said("openssl", &["version"]),
    }))
}

/// The first line a program says, wherever it says it and however it ends.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let program = process::find(program).unwrap_or_else(|| program.into());
    let output = pinned::command(pinned::Core::Load, program).args(arguments).output();
    let Ok(output) = output else { return "unknown".into() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
}

/// The value of the first `name: value` or `name="value"`.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':', '=']));
    value.trim_matches(['"', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_work() {
        assert_eq!(busy_ticks("1 2 4 1000 1000 8 16 32 0 0"), Some(63));
        assert_eq!(busy_ticks("1 2 3"), None);
    }

    #[test]
    fn fields_are_found_in_either_notation() {
        assert_eq!(field("a\t: b c\nMemTotal:       24 kB\n", "MemTotal"), "24 kB");
        assert_eq!(field("PRETTY_NAME=\"Debian 12\"\n", "PRETTY_NAME"), "Debian 12");
        assert_eq!(field("", "x"), "unknown");
    }
}
