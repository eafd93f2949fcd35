//! `zentinel-modsec` under the given rules, asked as `bench/waf/src/replay.rs` says: `RULES… -- RECORDS…`.

#[path = "../../../../bench/waf/src/clock.rs"]
mod clock;
#[path = "../../../../bench/waf/src/record.rs"]
#[expect(dead_code, reason = "it reads records and writes none")]
mod record;
#[path = "../../../../bench/waf/src/replay.rs"]
mod replay;

use std::{error::Error, time::Instant};

use record::Request;
use zentinel_modsec::ModSecurity;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut parts = arguments.split(|argument| argument == "--");
    let (rules, records) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let start = Instant::now();
    let include: String = rules.iter().map(|rule| format!("Include \"{rule}\"\n")).collect();
    let mut engine = Zentinel { engine: ModSecurity::from_string(&include)?, matched: Vec::new() };
    let load = start.elapsed();
    Ok(replay::serve(&mut engine, records, load, clock::thread_ns)?)
}

struct Zentinel {
    engine: ModSecurity,
    matched: Vec<u64>,
}

impl replay::Engine for Zentinel {
    fn judge(&mut self, request: &Request) -> u16 {
        // It takes texts; what is not UTF-8 it gets with replacements, as its own agent does.
        let text = String::from_utf8_lossy;
        let mut transaction = self.engine.new_transaction();
        // An error of one step is a step without a finding, as its own conformance test has it.
        let _ = transaction.process_uri(
            &text(&request.target),
            &text(&request.method),
            &text(&request.version),
        );
        for (name, value) in &request.fields {
            let _ = transaction.add_request_header(&text(name), &text(value));
        }
        let _ = transaction.process_request_headers();
        if !transaction.has_intervention() {
            if !request.body.is_empty() {
                let _ = transaction.append_request_body(&request.body);
            }
            let _ = transaction.process_request_body();
        }
        let ids = transaction.matched_rules().iter().filter_map(|id| id.parse().ok());
        self.matched = ids.collect();
        transaction.intervention().map_or(0, |intervention| intervention.status)
    }

    fn matched(&self, ids: &mut Vec<u64>) {
        ids.extend_from_slice(&self.matched);
    }
}
