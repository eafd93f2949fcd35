//! `selvedge waf replay`: which recorded requests other rules or another policy would judge otherwise.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use selvedge_waf::policy::Policy;
use serde_json::{Value, json};

use super::{
    RulesArgs,
    judge::Judge,
    request::Request,
    rules, shown,
    traffic::{self, Recorded},
};
use crate::{
    cli::{Format, Outcome},
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Rules that the table shows; `--list` and `--format json` show all.
const RULES_SHOWN: usize = 20;
/// Bytes of a target that a list shows.
const TARGET_SHOWN: usize = 120;
/// Changed requests that are kept for a list.
const CHANGES_MAX: usize = 100_000;

/// Options of `selvedge waf replay`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    selvedge waf replay traffic/ --against native --against shop.kdl\n  \
    selvedge waf replay access.log --against-paranoia 2 --list\n  \
    selvedge waf replay traffic/ --rules /usr/share/coreruleset --against native")]
pub(super) struct ReplayArgs {
    /// Raw HTTP/1.1 requests (.http files and folders of them), or access logs (Selvedge's, or the combined format)
    #[arg(required = true, value_name = "DIR|LOG")]
    traffic: Vec<PathBuf>,
    #[command(flatten)]
    rules: RulesArgs,
    /// Rules as they would be; may be repeated; otherwise those of `--rules`
    #[arg(long, value_name = "RULES")]
    against: Vec<PathBuf>,
    /// Paranoia level as it would be, 1 to 4; otherwise that of `--paranoia`
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=4))]
    against_paranoia: Option<u8>,
    /// Points from which a request would be refused; otherwise those of `--block-at`
    #[arg(long, value_name = "POINTS", value_parser = clap::value_parser!(u32).range(1..))]
    against_block_at: Option<u32>,
    /// List the requests that would be judged otherwise
    #[arg(long)]
    list: bool,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What a side says to a request.
struct Said {
    refused: bool,
    /// Rules by number, with their names.
    rules: BTreeMap<u64, String>,
}

/// A request that would be judged otherwise.
struct Change {
    name: String,
    request: String,
    newly_refused: bool,
    /// The rules that matched on the side that refuses.
    rules: Vec<String>,
}

/// What differs, and what does not.
#[derive(Default)]
struct Comparison {
    both_pass: usize,
    both_refuse: usize,
    newly_refused: usize,
    newly_passed: usize,
    changes: Vec<Change>,
    /// By the number of a rule: its name, and how many requests it matches as it is and as it would be.
    rules: BTreeMap<u64, (String, [usize; 2])>,
}

/// Asks both sides about every request.
pub(super) fn run(args: &ReplayArgs, terminal: &mut Terminal) -> Outcome {
    let [mut old, mut new] = sides(args)?;
    let mut comparison = Comparison::default();
    let all_read = traffic::each(&args.traffic, |Recorded { name, request }| {
        let (before, after) = (ask(&mut old, &request), ask(&mut new, &request));
        comparison.enter((name, &request), before, after);
        Ok(())
    })?;
    let text = match args.format {
        Format::Text => comparison.render(args.list),
        Format::Json => format!("{:#}\n", comparison.to_json()),
    };
    terminal.write(&text)?;
    Ok(if all_read { Exit::Success } else { Exit::Failure })
}

fn sides(args: &ReplayArgs) -> Result<[Judge; 2], Failure> {
    let ReplayArgs { rules: old, against, against_paranoia, against_block_at, .. } = args;
    if against.is_empty() && against_paranoia.is_none() && against_block_at.is_none() {
        let text = "nothing to compare with; name it by --against, --against-paranoia or \
                    --against-block-at";
        return Err(Failure::new(Exit::Usage, text));
    }
    let before = Arc::new(old.read()?.compile());
    let after = match against.is_empty() {
        true => before.clone(),
        false => Arc::new(rules::read(against)?.compile()),
    };
    let policy = Policy {
        paranoia: against_paranoia.or(old.paranoia),
        block_at: against_block_at.or(old.block_at),
        ..Policy::default()
    };
    Ok([Judge::new(before, old.policy()), Judge::new(after, policy)])
}

fn ask(judge: &mut Judge, request: &Request) -> Said {
    let verdict = judge.request(request);
    let rules = verdict.matches.iter().map(|found| (found.id, shown::rule(found)));
    Said { refused: verdict.refusal.is_some(), rules: rules.collect() }
}

impl Comparison {
    fn enter(&mut self, (name, request): (String, &Request), before: Said, after: Said) {
        let ids: BTreeSet<u64> = before.rules.keys().chain(after.rules.keys()).copied().collect();
        for id in ids {
            let names = [before.rules.get(&id), after.rules.get(&id)];
            let rule = names[0].or(names[1]).cloned().unwrap_or_default();
            let (_, counts) = self.rules.entry(id).or_insert((rule, [0; 2]));
            counts
                .iter_mut()
                .zip(names)
                .for_each(|(count, name)| *count += usize::from(name.is_some()));
        }
        let newly_refused = !before.refused;
        let refusing = match (before.refused, after.refused) {
            (false, false) => return self.both_pass += 1,
            (true, true) => return self.both_refuse += 1,
            (false, true) => {
                self.newly_refused += 1;
                after
            }
            (true, false) => {
                self.newly_passed += 1;
                before
            }
        };
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(Change {
                name,
                request: shortened(request),
                newly_refused,
                rules: refusing.rules.into_values().collect(),
            });
        }
    }

    /// Rules that match more or fewer requests than before, the greatest difference first.
    fn differing(&self) -> Vec<(&str, [usize; 2])> {
        let mut rules: Vec<(&str, [usize; 2])> = self
            .rules
            .values()
            .filter(|(_, [before, after])| before != after)
            .map(|(name, counts)| (name.as_str(), *counts))
            .collect();
        rules.sort_by_key(|(_, [before, after])| std::cmp::Reverse(before.abs_diff(*after)));
        rules
    }

    fn render(&self, list: bool) -> String {
        let Self { both_pass, both_refuse, newly_refused, newly_passed, changes, .. } = self;
        let same = both_pass + both_refuse;
        let mut text = format!(
            "same           {same:>8}  ({both_pass} passed, {both_refuse} refused)\n\
             newly refused  {newly_refused:>8}\n\
             newly passed   {newly_passed:>8}\n"
        );
        let rules = self.differing();
        if !rules.is_empty() {
            text.push_str("\n   BEFORE     AFTER  RULE\n");
        }
        let shown = if list { rules.len() } else { RULES_SHOWN };
        for (name, [before, after]) in rules.iter().take(shown) {
            text.push_str(&format!("{before:>9} {after:>9}  {name}\n"));
        }
        if rules.len() > shown {
            text.push_str(&format!(
                "{:>19}  and {} more; --list shows all\n",
                "",
                rules.len() - shown
            ));
        }
        if list && !changes.is_empty() {
            text.push('\n');
            changes.iter().for_each(|change| text.push_str(&change.line()));
        }
        text
    }

    fn to_json(&self) -> Value {
        let Self { both_pass, both_refuse, newly_refused, newly_passed, changes, rules: _ } = self;
        json!({
            "both_pass": both_pass,
            "both_refuse": both_refuse,
            "newly_refused": newly_refused,
            "newly_passed": newly_passed,
            "rules": self.differing().iter().map(|(name, [before, after])| {
                json!({ "rule": name, "before": before, "after": after })
            }).collect::<Value>(),
            "changes": changes.iter().map(Change::to_json).collect::<Value>(),
        })
    }
}

impl Change {
    fn word(&self) -> &'static str {
        if self.newly_refused { "newly refused" } else { "newly passed" }
    }

    fn line(&self) -> String {
        let Self { name, request, rules, .. } = self;
        let name = shown::plain(name.as_bytes());
        format!("{}: {name}: {request}; {}\n", self.word(), rules.join(", "))
    }

    fn to_json(&self) -> Value {
        let Self { name, request, newly_refused: _, rules } = self;
        json!({ "change": self.word(), "name": name, "request": request, "rules": rules })
    }
}

/// Method and target, as much as fits a line.
pub(super) fn shortened(request: &Request) -> String {
    let target = &request.target;
    let dots = if target.len() > TARGET_SHOWN { "…" } else { "" };
    let target = shown::plain(&target[..target.len().min(TARGET_SHOWN)]);
    format!("{} {target}{dots}", shown::plain(&request.method))
}
