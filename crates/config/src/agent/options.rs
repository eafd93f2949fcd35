//! How the options of a route are written as text.

use std::collections::BTreeMap;

/// The items of a list in an option of a route.
pub(super) fn listed(option: Option<&str>, separator: char) -> Vec<String> {
    option.into_iter().flat_map(|list| list.split(separator)).map(str::to_owned).collect()
}

/// The options that say something.
pub(super) fn written<const N: usize>(
    options: [(&str, Option<String>); N],
) -> BTreeMap<String, String> {
    let written = options.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    written.collect()
}
