//! Which agents wait for which.

use std::collections::{BTreeMap, BTreeSet};

use crate::Id;

/// For each agent all that it waits for, directly or through others.
pub(crate) struct Order(BTreeMap<Id, BTreeSet<Id>>);

impl Order {
    /// `after` tells of each agent what it waits for directly.
    pub(crate) fn new(after: &BTreeMap<Id, Vec<Id>>) -> Self {
        Self(after.keys().map(|id| (id.clone(), reach(after, id))).collect())
    }

    /// Whether `first` has answered before `second` is asked.
    pub(crate) fn is_before(&self, first: &str, second: &str) -> bool {
        self.0.get(second).is_some_and(|before| before.contains(first))
    }

    /// The agents that wait for each other, circle by circle.
    pub(super) fn circles(&self) -> Vec<Vec<&Id>> {
        let in_circle = |a: &Id, b: &Id| self.is_before(a, b) && self.is_before(b, a);
        let mut circles = Vec::new();
        for id in self.0.keys().filter(|id| self.is_before(id, id)) {
            let circle: Vec<&Id> = self.0.keys().filter(|other| in_circle(id, other)).collect();
            if circle.first() == Some(&id) {
                circles.push(circle);
            }
        }
        circles
    }

    /// Of each of `ids` the places of those that it waits for, and how many in a row these are.
    pub(super) fn places(&self, ids: &[Id]) -> Vec<(Vec<usize>, usize)> {
        let before = |id: &Id| -> Vec<usize> {
            let is_before = |at: &usize| self.is_before(&ids[*at], id);
            (0..ids.len()).filter(is_before).collect()
        };
        let before: Vec<Vec<usize>> = ids.iter().map(before).collect();
        // Who waits for another waits for all that the other waits for, and so for more.
        let mut in_order: Vec<usize> = (0..ids.len()).collect();
        in_order.sort_by_key(|at| before[*at].len());
        let mut stages = vec![0; ids.len()];
        for at in in_order {
            stages[at] = before[at].iter().map(|other| stages[*other] + 1).max().unwrap_or(0);
        }
        before.into_iter().zip(stages).collect()
    }
}

fn reach(after: &BTreeMap<Id, Vec<Id>>, from: &Id) -> BTreeSet<Id> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Id> = after.get(from).into_iter().flatten().collect();
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            open.extend(after.get(id).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Order {
        let agent = |line: &str| {
            let (id, after) = line.split_once('<').unwrap_or((line, ""));
            (Id::from(id.trim()), after.split_whitespace().map(Id::from).collect())
        };
        Order::new(&text.split(';').map(agent).collect())
    }

    #[track_caller]
    fn check(text: &str, ids: &str, expected: &[(&[usize], usize)]) {
        let ids: Vec<Id> = ids.split_whitespace().map(Id::from).collect();
        let places = order(text).places(&ids);
        let places: Vec<(&[usize], usize)> =
            places.iter().map(|(before, stage)| (before.as_slice(), *stage)).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn agents_wait_for_those_of_their_route() {
        check("a; b; c", "a b c", &[(&[], 0), (&[], 0), (&[], 0)]);
        check("a; b < a; c < b", "c b a", &[(&[1, 2], 2), (&[2], 1), (&[], 0)]);
        check("a; b < a; c; d < b c", "a b c d", &[(&[], 0), (&[0], 1), (&[], 0), (&[0, 1, 2], 2)]);
    }

    #[test]
    fn an_order_holds_over_an_agent_that_the_route_does_not_ask() {
        check("a; b < a; c < b", "a c", &[(&[], 0), (&[0], 1)]);
    }

    #[test]
    fn circles_are_found_once_and_end() {
        let circles = |text: &str| -> Vec<String> {
            let order = order(text);
            let join =
                |circle: Vec<&Id>| circle.iter().map(|id| &***id).collect::<Vec<_>>().join(" ");
            order.circles().into_iter().map(join).collect()
        };
        assert_eq!(circles("a < b; b < c; c < a; d < a; e < f; f < e"), ["a b c", "e f"]);
        assert_eq!(circles("a < a"), ["a"]);
        assert_eq!(circles("a; b < a; c < a b"), Vec::<String>::new());
        check("a < b; b < a", "a b", &[(&[0, 1], 1), (&[0, 1], 2)]);
    }
}
