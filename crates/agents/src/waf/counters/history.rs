//! What happened within a window, in eight steps: an event counts for seven to eight eighths of it.

use super::key::Key;

/// Steps of a window.
pub(super) const STEPS: u32 = 8;
/// Keys that are told apart exactly.
const FEW: usize = 24;
/// Marks of an estimate.
const MARKS: usize = 72;

/// How often something happened in each step, the latest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window([u32; STEPS as usize]);

impl Window {
    /// So many steps have gone by.
    pub(super) fn pass(&mut self, steps: u32) {
        let steps = steps.min(STEPS) as usize;
        self.0.rotate_right(steps);
        self.0[..steps].fill(0);
    }

    /// It happened so often in this step.
    pub(super) fn add(&mut self, times: u32) {
        self.0[0] = self.0[0].saturating_add(times);
    }

    /// What the other one has did not happen.
    pub(super) fn take(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_sub(other);
        }
    }

    pub(super) fn sum(&self) -> u32 {
        self.sum_after(0)
    }

    /// What is left of it when so many more steps have gone by.
    pub(super) fn sum_after(&self, steps: u32) -> u32 {
        let left = STEPS.saturating_sub(steps) as usize;
        self.0[..left].iter().fold(0, |sum, times| sum.saturating_add(*times))
    }
}

/// How many different keys there were: exact for a few, and estimated for more.
///
/// Each key has a byte that says in which steps it came, the lowest bit for the latest. A few keys are kept by
/// 16 bits of theirs; when there are more, each sets one of [`MARKS`] marks by chance, and how many are unset tells
/// about how many there were (linear counting, Whang et al. 1990).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distinct {
    Few { tags: [u16; FEW], steps: [u8; FEW] },
    Many([u8; MARKS]),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Few { tags: [0; FEW], steps: [0; FEW] }
    }
}

impl Distinct {
    /// So many steps have gone by.
    pub(super) fn pass(&mut self, steps: u32) {
        let bytes = match self {
            Self::Few { steps, .. } => &mut steps[..],
            Self::Many(marks) => &mut marks[..],
        };
        for byte in bytes {
            *byte = byte.checked_shl(steps).unwrap_or(0);
        }
        if matches!(self, Self::Many(marks) if *marks == [0; MARKS]) {
            *self = Self::default();
        }
    }

    /// This key came in this step.
    pub(super) fn mark(&mut self, key: Key) {
        if let Self::Few { tags, steps } = self {
            let place = find(tags, steps, tag(key)).or_else(|| free(steps));
            if let Some(place) = place {
                tags[place] = tag(key);
                steps[place] |= 1;
                return;
            }
            *self = estimated(tags, steps);
        }
        if let Self::Many(marks) = self {
            marks[mark(tag(key))] |= 1;
        }
    }

    /// This key did not come. Of an estimate it may take another one's mark with it.
    pub(super) fn unmark(&mut self, key: Key) {
        match self {
            Self::Few { tags, steps } => {
                if let Some(place) = find(tags, steps, tag(key)) {
                    steps[place] = 0;
                }
            }
            Self::Many(marks) => marks[mark(tag(key))] = 0,
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count_after(0)
    }

    /// How many are left when so many more steps have gone by.
    pub(super) fn count_after(&self, steps: u32) -> u32 {
        let left = |bytes: &[u8]| {
            bytes.iter().filter(|byte| byte.checked_shl(steps).unwrap_or(0) != 0).count()
        };
        match self {
            Self::Few { steps, .. } => left(steps) as u32,
            Self::Many(marks) => estimate(MARKS - left(marks)),
        }
    }
}

/// Of how many keys so many marks are unset; about 300 where none is.
fn estimate(unset: usize) -> u32 {
    let marks = MARKS as f64;
    (marks * (marks / unset.max(1) as f64).ln()).round() as u32
}

fn estimated(tags: &[u16; FEW], steps: &[u8; FEW]) -> Distinct {
    let mut marks = [0; MARKS];
    for (tag, steps) in tags.iter().zip(steps) {
        marks[mark(*tag)] |= steps;
    }
    Distinct::Many(marks)
}

fn find(tags: &[u16; FEW], steps: &[u8; FEW], tag: u16) -> Option<usize> {
    (0..FEW).find(|place| tags[*place] == tag && steps[*place] != 0)
}

fn free(steps: &[u8; FEW]) -> Option<usize> {
    steps.iter().position(|steps| *steps == 0)
}

/// Bits that tables do not look at.
fn tag(key: Key) -> u16 {
    (key.0 >> 112) as u16
}

fn mark(tag: u16) -> usize {
    (usize::from(tag) * MARKS) >> 16
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::waf::counters::key::Secret;

    fn key(number: u32) -> Key {
        Secret::known().key(&[&number.to_be_bytes()])
    }

    #[test]
    fn many_are_estimated_within_a_fifth() {
        for of in [30, 60, 100, 150, 200] {
            let mut distinct = Distinct::default();
            (0..of).for_each(|number| distinct.mark(key(number)));
            let count = distinct.count();
            assert!(count.abs_diff(of) * 5 <= of, "{count} of {of}");
        }
        let mut distinct = Distinct::default();
        (0..100_000).for_each(|number| distinct.mark(key(number)));
        assert_eq!(distinct.count(), 308, "and no more");
        distinct.pass(STEPS);
        assert_eq!(distinct, Distinct::default(), "it is exact again");
    }

    #[test]
    fn what_did_not_happen_is_taken_from_where_it_was() {
        let (mut all, mut own) = (Window::default(), Window::default());
        all.add(3);
        own.add(2);
        all.pass(2);
        own.pass(2);
        all.add(5);
        all.take(&own);
        assert_eq!((all.sum(), all.sum_after(5), all.sum_after(6), all.sum_after(8)), (6, 6, 5, 0));
        all.take(&Window([9; 8]));
        assert_eq!(all, Window::default());
    }

    #[derive(Clone, Debug)]
    enum Event {
        Mark(u32),
        Unmark(u32),
        Pass(u32),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            6 => (0..40_u32).prop_map(Event::Mark),
            2 => (0..40_u32).prop_map(Event::Unmark),
            1 => (1..11_u32).prop_map(Event::Pass),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        /// As if every event were kept with its step.
        #[test]
        fn a_window_is_what_a_list_would_say(events in events(), later in 0..10_u32) {
            let (mut window, mut distinct) = (Window::default(), Distinct::default());
            let (mut list, mut last, mut now) = (Vec::new(), BTreeMap::new(), 0);
            let mut is_few = true;
            for event in events {
                match event {
                    Event::Mark(number) => {
                        window.add(1);
                        distinct.mark(key(number));
                        list.push(now);
                        last.insert(number, now);
                    }
                    Event::Unmark(number) => {
                        distinct.unmark(key(number));
                        last.remove(&number);
                    }
                    Event::Pass(steps) => {
                        window.pass(steps);
                        distinct.pass(steps);
                        now += steps;
                        last.retain(|_, step| now - *step < STEPS);
                    }
                }
                is_few &= last.len() <= FEW;
            }
            let counts = |step: &u32| now + later - step < STEPS;
            prop_assert_eq!(window.sum_after(later) as usize, list.iter().filter(|step| counts(step)).count());
            let keys: BTreeSet<_> = last.iter().filter(|(_, step)| counts(step)).map(|(key, _)| key).collect();
            if is_few {
                prop_assert_eq!(distinct.count_after(later) as usize, keys.len());
            }
        }
    }
}
