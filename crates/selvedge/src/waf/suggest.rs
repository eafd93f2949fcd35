//! `selvedge waf suggest`: the fewest and narrowest exclusions that let legitimate requests pass.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use clap::Args;
use selvedge_waf::{
    engine::{Match, Rules},
    policy::{Exclusion, Policy},
    rule::{Rules as Named, Selector, Target, Variable},
};
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

mod decision;
mod line;
mod solve;

use line::Line;
use solve::{Found, Refused, Solution, Spot};

/// Refused requests that are looked at.
const REFUSED_MAX: usize = 20_000;
/// A value may have fired more rules than one look shows; so often it is looked again.
const ROUNDS_MAX: usize = 16;
/// Requests that are told to be beyond help.
const BEYOND_SHOWN: usize = 10;
/// Points from which a request is refused where the policy does not say.
const BLOCK_AT: u32 = 25;

/// Options of `selvedge waf suggest`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    selvedge waf suggest legitimate/ --rules native --paranoia 2\n  \
    grep '\"route\":\"forum\"' access.log > forum.log && selvedge waf suggest forum.log")]
pub(super) struct SuggestArgs {
    /// Requests known to be legitimate (.http files and folders of them), or logs with decisions about such requests
    #[arg(required = true, value_name = "DIR|LOG")]
    traffic: Vec<PathBuf>,
    #[command(flatten)]
    rules: RulesArgs,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What came of it.
struct Advice {
    looked_at: usize,
    refused: usize,
    lines: Vec<Line>,
    /// Requests that no exclusion lets pass, and why.
    beyond: Vec<String>,
}

/// Looks at what is refused, and finds what would let it pass.
pub(super) fn run(args: &SuggestArgs, terminal: &mut Terminal) -> Outcome {
    let (logs, requests): (Vec<PathBuf>, Vec<PathBuf>) =
        args.traffic.iter().cloned().partition(|path| is_log(path));
    let block_at = args.rules.block_at.unwrap_or(BLOCK_AT);
    let mut advice = Advice { looked_at: 0, refused: 0, lines: Vec::new(), beyond: Vec::new() };
    let mut solution = Solution::default();
    let mut all_read = true;
    if !logs.is_empty() {
        let refused = decision::refused(&logs, block_at, &mut advice.looked_at)?;
        advice.refused += refused.len();
        advice.beyond.extend(solution.add(&refused));
    }
    if !requests.is_empty() {
        let rules = Arc::new(args.rules.read()?.compile());
        let mut tried = Trial { args, rules, refused: Vec::new() };
        all_read = tried.read(&requests, &mut advice.looked_at)?;
        advice.refused += tried.refused.len();
        advice.beyond.extend(tried.solve(&mut solution));
        advice.lines = tried.prune(solution.lines());
    } else {
        advice.lines = solution.lines();
    }
    let text = match args.format {
        Format::Text => advice.render(),
        Format::Json => format!("{:#}\n", advice.to_json()),
    };
    terminal.write(&text)?;
    Ok(if all_read && advice.beyond.is_empty() { Exit::Success } else { Exit::Failure })
}

fn is_log(path: &std::path::Path) -> bool {
    path.is_file() && path.extension().is_none_or(|extension| extension != "http")
}

/// Requests that should pass, and the rules that refuse them.
struct Trial<'a> {
    args: &'a SuggestArgs,
    rules: Arc<Rules>,
    refused: Vec<(String, Request)>,
}

impl Trial<'_> {
    fn judge(&self, lines: &[Line]) -> Judge {
        let exclusions = lines.iter().map(exclusion).collect();
        Judge::new(self.rules.clone(), Policy { exclusions, ..self.args.rules.policy() })
    }

    /// Keeps the requests that are refused.
    fn read(&mut self, requests: &[PathBuf], looked_at: &mut usize) -> Result<bool, Failure> {
        let mut judge = self.judge(&[]);
        traffic::each(requests, |Recorded { name, request }| {
            *looked_at += 1;
            if judge.request(&request).refusal.is_some() {
                self.refused.push((name, request));
            }
            if self.refused.len() > REFUSED_MAX {
                let text =
                    format!("more than {REFUSED_MAX} requests are refused; begin with fewer");
                return Err(Failure::new(Exit::Failure, text));
            }
            Ok(())
        })
    }

    /// Adds exclusions until everything passes that can; returns what cannot.
    fn solve(&self, solution: &mut Solution) -> Vec<String> {
        let mut left = self.still_refused(&solution.lines(), 0..self.refused.len());
        for _ in 0..ROUNDS_MAX {
            if left.is_empty() {
                break;
            }
            let refused: Vec<Refused> = left.iter().map(|(_, refused)| refused.clone()).collect();
            solution.add(&refused);
            let before = left.len();
            let had = solution.progress();
            left = self.still_refused(&solution.lines(), left.into_iter().map(|(at, _)| at));
            if left.len() == before && !had {
                break;
            }
        }
        let told = |(_, refused): (usize, Refused)| format!("{}: {}", refused.name, refused.reason);
        left.into_iter().map(told).collect()
    }

    fn still_refused(
        &self,
        lines: &[Line],
        requests: impl Iterator<Item = usize>,
    ) -> Vec<(usize, Refused)> {
        let mut judge = self.judge(lines);
        let block_at = self.args.rules.block_at.unwrap_or(BLOCK_AT);
        let mut look = |at: usize| {
            let (name, request) = &self.refused[at];
            refused(name, request, &mut judge, block_at).map(|refused| (at, refused))
        };
        requests.filter_map(&mut look).collect()
    }

    /// Leaves out lines without which all that passed passes still, the ones that spare the fewest first.
    fn prune(&self, mut lines: Vec<Line>) -> Vec<Line> {
        let places: HashMap<&str, usize> =
            self.refused.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
        for line in lines.clone().iter().rev() {
            // A line that a log asks for cannot be tried.
            let requests: Option<Vec<usize>> =
                line.spares.iter().map(|name| places.get(name.as_str()).copied()).collect();
            let Some(requests) = requests else { continue };
            let without: Vec<Line> = lines.iter().filter(|one| *one != line).cloned().collect();
            let refused =
                |lines: &[Line]| self.still_refused(lines, requests.iter().copied()).len();
            if refused(&without) <= refused(&lines) {
                lines = without;
            }
        }
        lines
    }
}

fn exclusion(line: &Line) -> Exclusion {
    Exclusion {
        rules: Named::Ids(vec![line.rule..=line.rule]),
        target: line.spot.as_ref().map(|Spot { variable, name }| Target {
            variable: *variable,
            selector: match name {
                Some(name) => Selector::Key(name.as_str().into()),
                None => Selector::All,
            },
            count: false,
            exclude: false,
        }),
        path: line.path.as_deref().map(Arc::from),
        methods: Vec::new(),
    }
}

/// What refuses a request. `None`: it passes.
fn refused(name: &str, request: &Request, judge: &mut Judge, block_at: u32) -> Option<Refused> {
    let verdict = judge.request(request);
    let refusal = verdict.refusal?;
    let mut found: Vec<Found> =
        verdict.matches.iter().filter(|one| !one.shadow).map(of_match).collect();
    let mut excess = verdict.points.saturating_sub(block_at - 1);
    // A rule that refuses by itself counts for all of it, unless it only adds up what others found.
    let denies = refusal.rule.and_then(|rule| found.iter_mut().find(|one| one.rule == rule));
    if let Some(rule) = denies.filter(|one| !one.sums_up) {
        (rule.points, excess) = (u32::MAX, u32::MAX);
    }
    found.retain(|one| one.points > 0);
    let (path, reason) = (line::path(&request.target), shown::plain(refusal.reason.as_bytes()));
    Some(Refused { name: name.to_owned(), path, excess, found, reason })
}

fn of_match(found: &Match) -> Found {
    let sums_up = found.evidence.iter().any(|one| one.variable == Variable::Tx);
    let mut spots: Vec<Spot> = Vec::new();
    for evidence in &found.evidence {
        let name = str::from_utf8(&evidence.key).ok().filter(|name| !name.is_empty());
        spots.extend(Spot::new(evidence.variable, name));
    }
    let name = found.name.as_deref().map(str::to_owned);
    let message = shown::plain(found.message.as_bytes());
    Found::new(found.id, name, message, found.points, spots, sums_up)
}

impl Advice {
    fn render(&self) -> String {
        let Self { looked_at, refused, lines, beyond } = self;
        let looked_at = counted(*looked_at, "request");
        if *refused == 0 {
            return format!("// {looked_at} looked at, none is refused\n");
        }
        let spared = refused - beyond.len().min(*refused);
        let mut text = format!(
            "// {looked_at} looked at, {refused} refused; with these lines {spared} of them pass\n"
        );
        lines.iter().for_each(|line| text.push_str(&line.kdl()));
        if !beyond.is_empty() {
            text.push_str("// beyond exclusions:\n");
        }
        for one in beyond.iter().take(BEYOND_SHOWN) {
            text.push_str(&format!("//   {}\n", shown::plain(one.as_bytes())));
        }
        if beyond.len() > BEYOND_SHOWN {
            text.push_str(&format!("//   and {} more\n", beyond.len() - BEYOND_SHOWN));
        }
        text
    }

    fn to_json(&self) -> Value {
        let Self { looked_at, refused, lines, beyond } = self;
        json!({
            "looked_at": looked_at,
            "refused": refused,
            "exclusions": lines.iter().map(Line::to_json).collect::<Value>(),
            "beyond": beyond,
        })
    }
}
