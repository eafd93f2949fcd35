//! Refusals as the log of decisions tells of them.

use std::path::PathBuf;

use selvedge_waf::rule::Variable;
use serde_json::Value;

use super::{
    REFUSED_MAX,
    line::path,
    solve::{Found, Refused, Spot},
};
use crate::{
    exit::{Exit, Failure},
    waf::{shown, traffic},
};

/// How a decision says that it would have refused, were it carried out.
const WOULD: &str = "not refused: ";

/// Reads the decisions against requests, in logs in which nothing else needs to be understood.
pub(super) fn refused(
    logs: &[PathBuf],
    block_at: u32,
    looked_at: &mut usize,
) -> Result<Vec<Refused>, Failure> {
    let mut all = Vec::new();
    for log in logs {
        let before = *looked_at;
        traffic::each_line(log, |name, line| {
            let Ok(line) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
            if line["kind"] == "decision" {
                *looked_at += 1;
                all.extend(of_line(name, &line, block_at));
            }
            match all.len() > REFUSED_MAX {
                true => Err(Failure::new(
                    Exit::Failure,
                    format!("more than {REFUSED_MAX} refusals; begin with fewer"),
                )),
                false => Ok(()),
            }
        })?;
        if *looked_at == before {
            let text = format!("{}: no line in it is a decision", log.display());
            return Err(Failure::new(Exit::Failure, text));
        }
    }
    Ok(all)
}

fn of_line(name: String, line: &Value, block_at: u32) -> Option<Refused> {
    let reason = line["reason"].as_str().unwrap_or_default();
    if line["decision"] == "allow" && !reason.starts_with(WOULD) {
        return None;
    }
    let findings = line["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found: Vec<Found> = findings.iter().filter_map(found).collect();
    let points = found.iter().fold(0u32, |sum, found| sum.saturating_add(found.points));
    Some(Refused {
        name,
        path: path(line["path"].as_str().unwrap_or("/").as_bytes()),
        excess: points.saturating_sub(block_at - 1).max(1),
        found,
        reason: shown::plain(reason.as_bytes()),
    })
}

/// `None`: a finding of another agent, or one that only is watched.
fn found(finding: &Value) -> Option<Found> {
    let (rule, detail) =
        (finding["rule"].as_str()?, finding["detail"].as_str().unwrap_or_default());
    let tags = finding["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
    if tags.contains(&"shadow") {
        return None;
    }
    let id = tags.iter().find_map(|tag| tag.strip_prefix("id/")?.parse().ok());
    let name = id.map(|_: u64| rule.to_owned());
    let id = id.or_else(|| rule.parse().ok())?;
    let points = u32::try_from(finding["score"].as_u64()?).unwrap_or(u32::MAX);
    let message = detail.split(": ").next().unwrap_or_default();
    Some(Found::new(id, name, shown::plain(message.as_bytes()), points, spots(detail), false))
}

/// What stands before each `, bytes 3 to 8` of a detail.
fn spots(detail: &str) -> Vec<Spot> {
    let mut spots = Vec::new();
    for (at, _) in detail.match_indices(", bytes ") {
        let before = &detail[..at];
        let start = [": ", "; "].iter().filter_map(|mark| before.rfind(mark)).max();
        let written = &before[start.map_or(0, |at| at + 2)..];
        let (variable, name) = written
            .split_once(':')
            .map_or((written, None), |(variable, name)| (variable, Some(name)));
        let known = Variable::ALL.iter().find(|known| known.name() == variable);
        spots.extend(known.and_then(|variable| Spot::new(*variable, name)));
    }
    spots
}
