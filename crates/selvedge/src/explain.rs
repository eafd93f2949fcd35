//! `selvedge explain`: what becomes of a request, or what a code means.

mod advice;
mod aftermath;
mod answers;
mod lints;
mod question;

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use selvedge_config::{Bound, Config};
use selvedge_routing::{Explanation, Finding, Router};
use serde_json::{Value, json};

use self::{
    aftermath::Aftermath,
    question::{Answer, Question},
};
use crate::{
    bounds,
    cli::{Format, Outcome},
    exit::{Exit, Failure},
    findings::load,
    terminal::{Paint, Terminal},
};

/// Options of `selvedge explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// URL of a request, such as `https://example.com/api?page=2`, or a code such as `E0123`
    #[arg(value_name = "URL|CODE")]
    subject: String,
    /// Method of the request
    #[arg(long, short, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// Header of the request; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Config file
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Explains a code when the subject is one, and a request otherwise.
pub(crate) fn run(args: &ExplainArgs, terminal: &mut Terminal) -> Outcome {
    if is_code(&args.subject) {
        return explain_code(&args.subject, terminal);
    }
    let question = Question::from_args(&args.subject, &args.method, &args.headers)?;
    let checked = load(&args.config).map_err(|them| them.into_failure(Paint::on_stderr()))?;
    let fate = Fate::of(&question, &checked.config);
    terminal.write(&match args.format {
        Format::Text => fate.render(terminal.paint),
        Format::Json => format!("{:#}\n", fate.to_json()),
    })?;
    Ok(Exit::Success)
}

/// `E0123`, `W0201`, the name of a lint, or the code of an answer.
fn is_code(subject: &str) -> bool {
    let is_numbered = |text: &str| match text.as_bytes() {
        [b'E' | b'e' | b'W' | b'w', digits @ ..] => {
            digits.len() == 4 && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    is_numbered(subject) || lints::page(subject).is_some() || answers::page(subject).is_some()
}

fn explain_code(code: &str, terminal: &mut Terminal) -> Outcome {
    let page = selvedge_config::explain(code).or_else(|| lints::page(code)).map(str::to_owned);
    let page = page.or_else(|| answers::page(code));
    let page = page.ok_or_else(|| {
        let text = format!("there is no code {code}; `selvedge check` prints those that matter");
        Failure::new(Exit::Usage, text)
    })?;
    terminal.write(&format!("{}\n", page.trim_end()))?;
    Ok(Exit::Success)
}

/// What becomes of a request under a config.
struct Fate {
    /// The listener it arrives at; `None`: there is none for its scheme and port.
    listener: Option<String>,
    verdict: Verdict,
}

enum Verdict {
    /// Refused before a route is looked for.
    Refused { status: u16, why: String },
    /// No route holds.
    Unrouted(Explanation),
    /// A route holds.
    Routed { explanation: Explanation, aftermath: Box<Aftermath>, bounds: Vec<Bound> },
}

impl Fate {
    fn of(question: &Question, config: &Config) -> Self {
        let listener = question.listener(config);
        let verdict = match question.ask(config) {
            Answer::Refused { status, why } => Verdict::Refused { status, why },
            Answer::Heard(request) => {
                let explanation = Router::new(config).explain(&request.view());
                match explanation.chosen.as_ref().map(|chosen| chosen.index) {
                    None => Verdict::Unrouted(explanation),
                    Some(route) => Verdict::Routed {
                        bounds: bounds_on_the_way(config, listener.map(|it| &*it.id), route),
                        aftermath: Box::new(Aftermath::of(&request, config, route)),
                        explanation,
                    },
                }
            }
        };
        let listener = listener.map(|it| format!("{:?} ({})", it.id, it.address));
        Self { listener, verdict }
    }

    fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        let listener = match &self.listener {
            Some(listener) => format!("listener {listener}"),
            None => "no listener has this scheme and port; routes are the same on all".to_owned(),
        };
        let mut push = |text: &str| out.write_str(text).expect("a String takes every write");
        push(&format!("{listener}\n"));
        match &self.verdict {
            Verdict::Refused { status, why } => push(&format!("refused with {status}: {why}\n")),
            Verdict::Unrouted(explanation) => push(&explanation.to_string()),
            Verdict::Routed { explanation, aftermath, bounds } => {
                push(&explanation.to_string());
                push(&format!("\n{}\n", paint.bold("what happens")));
                push(&aftermath.to_string());
                push(&format!("\n{}\n", paint.bold("bounds on the way")));
                push(&bounds::table(bounds, paint));
            }
        }
        out
    }

    fn to_json(&self) -> Value {
        let mut value = match &self.verdict {
            Verdict::Refused { status, why } => {
                json!({ "refused": { "status": status, "why": why } })
            }
            Verdict::Unrouted(explanation) => explanation_json(explanation),
            Verdict::Routed { explanation, aftermath, bounds } => {
                let mut value = explanation_json(explanation);
                value["action"] = aftermath.to_json();
                value["bounds"] = bounds.iter().map(bounds::to_json).collect();
                value
            }
        };
        value["listener"] = json!(self.listener);
        value
    }
}

/// Bounds of the listener, of the process, of the route, of its agents and of its upstreams.
fn bounds_on_the_way(config: &Config, listener: Option<&str>, route: usize) -> Vec<Bound> {
    let route = &config.routes[route];
    let upstream = match &route.action {
        selvedge_config::Action::Upstream(id) => Some(id),
        _ => None,
    };
    let others = route.upstream_by.iter().flat_map(|by| by.choices.values());
    let mut upstreams: Vec<String> = Vec::new();
    for id in upstream.into_iter().chain(others) {
        let scope = format!("upstream {id:?}");
        if !upstreams.contains(&scope) {
            upstreams.push(scope);
        }
    }
    let mut scopes: Vec<String> =
        listener.map(|id| format!("listener {id:?}")).into_iter().collect();
    scopes.push(format!("route {:?}", route.id));
    scopes.extend(route.agents.iter().map(|agent| format!("agent {:?}", agent.id)));
    scopes.extend(upstreams);
    scopes.push("process".to_owned());
    let all = selvedge_config::bounds(config);
    // `agent "limits" policy "per-user"` is a part of `agent "limits"`.
    let is_of = |bound: &&Bound, scope: &str| {
        let rest = bound.scope.strip_prefix(scope);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    scopes
        .iter()
        .flat_map(|scope| all.iter().filter(move |bound| is_of(bound, scope)).cloned())
        .collect()
}

fn explanation_json(explanation: &Explanation) -> Value {
    let Explanation { method, host, path, chosen, passed, runners_up } = explanation;
    json!({
        "method": method,
        "host": host,
        "path": path,
        "route": chosen.as_ref().map(|chosen| json!({
            "id": &*chosen.id,
            "file": &*chosen.origin.file,
            "line": chosen.origin.line,
            "priority": chosen.priority,
            "held": chosen.held.iter().map(finding_json).collect::<Value>(),
        })),
        "passed_over": passed.iter().map(|passed| json!({
            "id": &*passed.id,
            "file": &*passed.origin.file,
            "line": passed.origin.line,
            "before": passed.before,
            "failed": finding_json(&passed.failed),
        })).collect::<Value>(),
        "runners_up": runners_up.iter().map(|runner_up| json!({
            "id": &*runner_up.id,
            "file": &*runner_up.origin.file,
            "line": runner_up.origin.line,
            "lost_by": runner_up.lost_by.to_string(),
        })).collect::<Value>(),
    })
}

fn finding_json(finding: &Finding) -> Value {
    let Finding { condition, wanted, seen } = finding;
    json!({ "condition": condition.to_string(), "wanted": wanted, "seen": seen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_urls_are_told_apart() {
        let check =
            |subject: &str, expected: bool| assert_eq!(is_code(subject), expected, "{subject}");
        check("E0123", true);
        check("w0201", true);
        check("E9999", true);
        check("unreachable-route", true);
        check("/E0123", false);
        check("E012", false);
        check("e0123.example.com", false);
        check("http://example.com/", false);
    }
}
