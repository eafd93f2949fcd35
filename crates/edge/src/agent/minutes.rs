//! What is written down of the agents in one exchange, for its record.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use selvedge_agent::{Event, Verdict};

use super::stats::Outcome;

/// The minutes of one exchange. Clones are the same minutes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Minutes(Rc<RefCell<Written>>);

/// What was written down so far.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Questions, in the order in which they ended.
    pub(crate) asked: Vec<Asked>,
    /// Verdicts that decided or found something, each with its agent's position in the plan.
    pub(crate) decisions: Vec<(usize, Verdict)>,
    /// Verdicts that found something and were not written down, for there were too many.
    pub(crate) left_out: u64,
}

/// Questions written down: more than there can be, but for the frames of a tunnel.
const ASKED_MAX: usize = 256;
/// Verdicts written down that only found something. Those that decided always are: they end it.
const FOUND_MAX: usize = 64;

/// One question to one agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Position of the agent in the plan.
    pub(crate) agent: usize,
    pub(crate) event: Event,
    pub(crate) outcome: Outcome,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// The exchange went on without the answer.
    pub(crate) passed_over: bool,
}

impl Minutes {
    /// Writes down a question that is over. A tunnel may carry any number of frames that pass: these
    /// are not.
    pub(crate) fn asked(&self, asked: Asked) {
        let all = &mut self.0.borrow_mut().asked;
        let is_usual = asked.event == Event::WebsocketFrame && asked.outcome == Outcome::Allow;
        if !is_usual && all.len() < ASKED_MAX {
            all.push(asked);
        }
    }

    /// Writes down a verdict, if there is anything to be told of it.
    pub(crate) fn ruled(&self, agent: usize, verdict: &Verdict) {
        let Written { decisions, left_out, .. } = &mut *self.0.borrow_mut();
        if !verdict.is_allow() {
            decisions.push((agent, verdict.clone()));
        } else if !verdict.findings().is_empty() {
            match decisions.len() < FOUND_MAX {
                true => decisions.push((agent, verdict.clone())),
                false => *left_out += 1,
            }
        }
    }

    /// All that was written down, which is then gone.
    pub(crate) fn take(&self) -> Written {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use selvedge_agent::Finding;

    use super::*;

    #[test]
    fn a_tunnel_of_any_length_fits_and_its_end_is_told() {
        let minutes = Minutes::default();
        let asked = |outcome| Asked {
            agent: 0,
            event: Event::WebsocketFrame,
            outcome,
            began: Instant::now(),
            took: Duration::ZERO,
            passed_over: false,
        };
        for _ in 0..1_000 {
            minutes.asked(asked(Outcome::Allow));
            minutes.asked(asked(Outcome::Timeout));
            minutes.ruled(0, &Verdict::allow());
            minutes.ruled(0, &Verdict::allow().finding(Finding::new("r")));
        }
        minutes.ruled(1, &Verdict::block(403));
        let Written { asked, decisions, left_out } = minutes.take();
        assert!(asked.iter().all(|asked| asked.outcome == Outcome::Timeout));
        assert_eq!((asked.len(), decisions.len()), (ASKED_MAX, FOUND_MAX + 1));
        assert_eq!(left_out, 1_000 - FOUND_MAX as u64);
        assert_eq!(decisions[FOUND_MAX].0, 1);
        assert!(minutes.take().asked.is_empty());
    }
}
