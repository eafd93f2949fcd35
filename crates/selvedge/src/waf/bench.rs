//! `selvedge waf bench`: what the rules cost for each request, in this process.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use selvedge_waf::native::{self, Exchange};
use serde_json::{Value, json};

use super::{
    RulesArgs,
    judge::Judge,
    request::Request,
    shown,
    traffic::{self, Recorded},
};
use crate::{
    cli::{Format, Outcome},
    exit::{Exit, Failure},
    findings::counted,
    terminal::Terminal,
};

/// Bytes of all requests, which are held in memory.
const BYTES_MAX: usize = 1 << 30;
/// Measurements that are kept, four bytes each.
const SAMPLES_MAX: usize = 50_000_000;
/// Requests that are told to be the slowest.
const SLOWEST: usize = 5;

/// Options of `selvedge waf bench`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    selvedge waf bench\n  \
    selvedge waf bench traffic/ --rules /usr/share/coreruleset --seconds 10")]
pub(super) struct BenchArgs {
    /// Raw HTTP/1.1 requests (.http files and folders of them), or access logs [default: the cases of the rules that come with
    /// Selvedge]
    #[arg(value_name = "DIR|LOG")]
    traffic: Vec<PathBuf>,
    #[command(flatten)]
    rules: RulesArgs,
    /// Seconds to measure; every request is judged at least once
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=3600))]
    seconds: u64,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What a request came to: whether it is refused, and its points.
type Judged = (bool, u32);

/// What was measured, and under which circumstances.
struct Measured {
    rules: usize,
    live: usize,
    compiled_ms: u64,
    requests: usize,
    bytes: usize,
    timed: Timed,
    /// Kilobytes of this process before rules were compiled, and at the end.
    memory: [Option<u64>; 2],
}

/// How long requests took.
struct Timed {
    refused: usize,
    rounds: usize,
    /// Nanoseconds, sorted.
    samples: Vec<u32>,
    /// Nanoseconds at best, the slowest first.
    slowest: Vec<(u32, String)>,
}

/// Judges all requests again and again.
pub(super) fn run(args: &BenchArgs, terminal: &mut Terminal) -> Outcome {
    let (requests, all_read) = requests(args)?;
    let set = args.rules.read()?;
    let memory = resident();
    let began = Instant::now();
    let rules = Arc::new(set.compile());
    let mut judge = Judge::new(rules.clone(), args.rules.policy());
    let compiled_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    drop(set);
    let timed = time(&mut judge, &requests, Duration::from_secs(args.seconds))?;
    let measured = Measured {
        rules: rules.len(),
        live: judge.live_len(),
        compiled_ms,
        requests: requests.len(),
        bytes: requests.iter().map(|one| bytes(&one.request)).sum(),
        timed,
        memory: [memory, resident()],
    };
    let text = match args.format {
        Format::Text => measured.render(),
        Format::Json => format!("{:#}\n", measured.to_json()),
    };
    terminal.write(&text)?;
    Ok(if all_read { Exit::Success } else { Exit::Failure })
}

fn requests(args: &BenchArgs) -> Result<(Vec<Recorded>, bool), Failure> {
    let mut all = Vec::new();
    if args.traffic.is_empty() {
        all.extend(native::cases().iter().filter_map(|case| {
            let name = format!("{} ({})", case.place, case.name);
            Some(Recorded { name, request: of_case(case.exchange())? })
        }));
        return Ok((all, true));
    }
    let mut held = 0;
    let all_read = traffic::each(&args.traffic, |recorded| {
        held += bytes(&recorded.request);
        if held > BYTES_MAX {
            let text = format!("more than {BYTES_MAX} bytes of requests; name fewer");
            return Err(Failure::new(Exit::Failure, text));
        }
        all.push(recorded);
        Ok(())
    })?;
    if all.is_empty() {
        return Err(Failure::new(Exit::Failure, "no request to measure with"));
    }
    Ok((all, all_read))
}

/// `None`: a case about a response or a frame.
fn of_case(exchange: Exchange) -> Option<Request> {
    let Exchange { method, target, fields, body, frame, response } = exchange;
    (frame.is_none() && response.is_none()).then(|| Request {
        method: method.into(),
        target: target.into(),
        version: "HTTP/1.1".to_owned(),
        fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        body: body.into(),
        client: None,
    })
}

fn bytes(request: &Request) -> usize {
    let fields: usize = request.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    request.method.len() + request.target.len() + fields + request.body.len()
}

/// A round that is not measured says what each request comes to; every further one must say the same.
fn time(judge: &mut Judge, requests: &[Recorded], enough: Duration) -> Result<Timed, Failure> {
    let first: Vec<Judged> = requests.iter().map(|one| ask(judge, &one.request)).collect();
    let mut best = vec![u32::MAX; requests.len()];
    let mut samples = Vec::new();
    let (began, mut rounds) = (Instant::now(), 0);
    while rounds == 0 || began.elapsed() < enough && samples.len() + requests.len() < SAMPLES_MAX {
        for ((one, best), expected) in requests.iter().zip(&mut best).zip(&first) {
            let start = Instant::now();
            let judged = ask(judge, &one.request);
            let took = u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX);
            if judged != *expected {
                let text = format!(
                    "{} was judged otherwise the second time: the numbers are void",
                    one.name
                );
                return Err(Failure::new(Exit::Bug, text));
            }
            *best = took.min(*best);
            samples.push(took);
        }
        rounds += 1;
    }
    samples.sort_unstable();
    Ok(Timed {
        refused: first.iter().filter(|(refused, _)| *refused).count(),
        rounds,
        samples,
        slowest: slowest(requests, &best),
    })
}

fn ask(judge: &mut Judge, request: &Request) -> Judged {
    let verdict = judge.request(request);
    (verdict.refusal.is_some(), verdict.points)
}

fn slowest(requests: &[Recorded], best: &[u32]) -> Vec<(u32, String)> {
    let mut all: Vec<(u32, &Recorded)> = best.iter().copied().zip(requests).collect();
    all.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    all.iter().take(SLOWEST).map(|(took, one)| (*took, one.name.clone())).collect()
}

/// Kilobytes of this process's memory, where the system tells.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

impl Timed {
    /// Microseconds.
    fn mean(&self) -> f64 {
        let sum: u64 = self.samples.iter().map(|sample| u64::from(*sample)).sum();
        sum as f64 / self.samples.len().max(1) as f64 / 1000.0
    }

    /// Microseconds that so many of a thousand take at most.
    fn per_mille(&self, share: usize) -> f64 {
        let at = (self.samples.len() * share / 1000).min(self.samples.len().saturating_sub(1));
        f64::from(self.samples.get(at).copied().unwrap_or_default()) / 1000.0
    }
}

impl Measured {
    fn render(&self) -> String {
        let Self { rules, live, compiled_ms, requests, bytes, timed, memory } = self;
        let Timed { refused, rounds, samples: _, slowest } = timed;
        let passed = requests - refused;
        let mut text = String::new();
        if cfg!(debug_assertions) {
            text.push_str(
                "this is a build for debugging: it is many times slower than one for use\n\n",
            );
        }
        text.push_str(&format!(
            "rules      {rules}, {live} live; compiled in {compiled_ms} ms\n\
             requests   {requests}, {} bytes each on average\n\
             asserted   in each of {} all were judged alike: {refused} refused, {passed} passed\n\
             mean       {:.1} µs\n\
             p50        {:.1} µs\n\
             p99        {:.1} µs\n\
             most       {:.1} µs\n\
             per core   {:.0} requests/s\n",
            bytes / (*requests).max(1),
            counted(*rounds + 1, "round"),
            timed.mean(),
            timed.per_mille(500),
            timed.per_mille(990),
            timed.per_mille(1000),
            1_000_000.0 / timed.mean().max(0.001),
        ));
        if let [Some(before), Some(after)] = memory {
            text.push_str(&format!(
                "memory     {after} kB, {before} kB of it before the rules were compiled\n"
            ));
        }
        text.push_str("slowest\n");
        for (took, name) in slowest {
            let name = shown::plain(name.as_bytes());
            text.push_str(&format!("  {:>9.1} µs  {name}\n", f64::from(*took) / 1000.0));
        }
        text
    }

    fn to_json(&self) -> Value {
        let Self { rules, live, compiled_ms, requests, bytes, timed, memory: [before, after] } =
            self;
        let Timed { refused, rounds, samples: _, slowest } = timed;
        json!({
            "rules": rules,
            "live": live,
            "compiled_ms": compiled_ms,
            "requests": requests,
            "bytes": bytes,
            "refused": refused,
            "rounds": rounds,
            "mean_us": timed.mean(),
            "p50_us": timed.per_mille(500),
            "p99_us": timed.per_mille(990),
            "max_us": timed.per_mille(1000),
            "memory_kb": after,
            "memory_before_kb": before,
            "debug_build": cfg!(debug_assertions),
            "slowest": slowest.iter().map(|(took, name)| {
                json!({ "name": name, "us": f64::from(*took) / 1000.0 })
            }).collect::<Value>(),
        })
    }
}
