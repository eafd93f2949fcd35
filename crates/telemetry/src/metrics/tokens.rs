use std::sync::OnceLock;

use super::cell::Counter;

/// Longest token that is counted under its own name.
const TOKEN_BYTES_MAX: usize = 64;

/// Counts by token, at most `N` of them; what comes later, or is too long, counts as `other`.
#[derive(Debug)]
pub(super) struct Tokens<const N: usize> {
    named: [(OnceLock<Box<str>>, Counter); N],
    other: Counter,
}

impl<const N: usize> Tokens<N> {
    /// Only the owning core may call it.
    pub(super) fn add(&self, token: &str) {
        self.counter(token).add(1);
    }

    fn counter(&self, token: &str) -> &Counter {
        if token.len() > TOKEN_BYTES_MAX {
            return &self.other;
        }
        self.named
            .iter()
            .find(|(name, _)| &**name.get_or_init(|| token.into()) == token)
            .map_or(&self.other, |(_, counter)| counter)
    }

    /// Every token seen, with its count.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, u64)> {
        let named =
            self.named.iter().map_while(|(name, count)| Some((&**name.get()?, count.get())));
        named.chain((self.other.get() > 0).then(|| ("other", self.other.get())))
    }
}

impl<const N: usize> Default for Tokens<N> {
    fn default() -> Self {
        Self { named: [const { (OnceLock::new(), Counter::new()) }; N], other: Counter::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bounded() {
        let tokens = Tokens::<2>::default();
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for token in ["a", "b", "a", "c", "d", "b", "a", &long] {
            tokens.add(token);
        }
        assert_eq!(tokens.each().collect::<Vec<_>>(), [("a", 3), ("b", 2), ("other", 3)]);
    }
}
