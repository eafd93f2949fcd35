//! What is kept of a match, so that it can be explained.

use super::{
    Decision, EXCERPT_BYTES_MAX, Evidence, Match, Profile, Refusal, Transaction, arena::Span,
    compile::Compiled, state::Hit,
};
use crate::rule::{Mode, Phase};

/// So many pieces of evidence are kept of one match.
const EVIDENCE_MAX: usize = 8;
/// So many matches of one exchange are kept; further ones count, and are not explained.
const MATCHES_MAX: usize = 256;
/// Points for each of the Core Rule Set's: its threshold of 5 is 25 here.
const POINTS_PER_SCORE: u32 = 5;

impl Transaction {
    /// Enters the match of a rule.
    pub(super) fn enter(&mut self, profile: &Profile, compiled: &Compiled, shadow: bool) {
        let rule = &compiled.rule;
        let own = rule.points.saturating_add(self.scored.saturating_mul(POINTS_PER_SCORE));
        let points = profile.weighed(own, rule.category);
        if !shadow {
            let inbound = matches!(rule.phase, Phase::RequestHead | Phase::Request);
            let sum = if inbound { &mut self.points.inbound } else { &mut self.points.outbound };
            *sum = sum.saturating_add(points);
            self.severity = self.severity.into_iter().chain(rule.severity).min();
        }
        if !rule.log && points == 0 || self.matches.len() == MATCHES_MAX {
            return;
        }
        let rules = profile.rules().clone();
        let mut text = |template: &Option<super::template::Template>| match template {
            Some(template) => {
                let span = self.expand(&rules, template);
                String::from_utf8_lossy(self.data.arena.get(span)).into_owned()
            }
            None => String::new(),
        };
        let (message, log_data) = (text(&compiled.message), text(&compiled.log_data));
        let evidence =
            self.state.matched.iter().take(EVIDENCE_MAX).map(|hit| self.evidence(hit)).collect();
        self.matches.push(Match {
            id: rule.id,
            name: rule.name.clone(),
            message,
            log_data,
            severity: rule.severity,
            category: rule.category,
            tags: compiled.tags.clone(),
            points,
            shadow,
            evidence,
        });
    }

    fn evidence(&self, hit: &Hit) -> Evidence {
        let text = self.data.arena.get(hit.text);
        let (start, end) = window(text.len(), hit.start, hit.end);
        Evidence {
            variable: hit.variable,
            key: self.data.arena.get(hit.name).to_vec(),
            excerpt: text[start..end].to_vec(),
            span: hit.start - start..hit.end.min(end) - start,
            offset: start,
            received: Span::is_received(hit.text),
        }
    }

    /// Refuses as soon as the points suffice, where the policy wants that.
    pub(super) fn early(&mut self, profile: &Profile) -> Option<Decision> {
        if !profile.policy().early {
            return None;
        }
        match self.by_points(profile) {
            Decision::Pass => None,
            decision => Some(decision),
        }
    }

    /// What the sums of points say.
    pub(super) fn by_points(&mut self, profile: &Profile) -> Decision {
        let inbound = profile
            .block_at
            .filter(|&limit| self.points.inbound >= limit)
            .map(|limit| ("request", self.points.inbound, limit));
        let outbound = profile.block_response_at.filter(|&limit| self.points.outbound >= limit);
        let outbound = outbound.map(|limit| ("response", self.points.outbound, limit));
        let Some((what, points, limit)) = inbound.or(outbound) else { return Decision::Pass };
        let reason = format!("the {what} has {points} points; {limit} are refused");
        let refusal =
            Refusal { status: profile.policy().status, location: None, rule: None, reason };
        self.conclude(profile, refusal).unwrap_or(Decision::Pass)
    }

    /// Remembers a refusal; `None`: it is not carried out.
    pub(super) fn conclude(&mut self, profile: &Profile, refusal: Refusal) -> Option<Decision> {
        let enforced = profile.mode == Mode::On && self.state.mode == Mode::On;
        if self.refusal.is_none() {
            self.refusal = Some(refusal.clone());
        }
        if !enforced {
            return None;
        }
        self.refused = true;
        Some(Decision::Refuse(refusal))
    }
}

/// As much of a text as is kept: the match in the middle, as far as it fits.
fn window(len: usize, start: usize, end: usize) -> (usize, usize) {
    let room = EXCERPT_BYTES_MAX.saturating_sub(end - start);
    let from = start.saturating_sub(room / 2);
    (from, len.min(from + EXCERPT_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_the_match_in_it_as_far_as_it_fits() {
        for (len, start, end, expected) in [
            (10, 2, 4, (0, 10)),
            (1000, 500, 510, (425, 585)),
            (1000, 990, 1000, (915, 1000)),
            (1000, 0, 1000, (0, 160)),
        ] {
            assert_eq!(window(len, start, end), expected, "{len} {start} {end}");
        }
    }
}
