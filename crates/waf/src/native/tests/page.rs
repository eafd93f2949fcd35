//! The blocks of the language's page are read or refused as the page says.

use std::{fs, path::Path};

use crate::native::{self, words};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/waf-rules.md");
    fs::read_to_string(path).expect("the page is part of the project")
}

/// Texts of the page's blocks, and whether they must be refused.
fn blocks(page: &str) -> Vec<(bool, &str)> {
    let block = |(at, fence): (usize, &str)| {
        let block = &page[at + fence.len()..];
        let (info, text) = block.split_once('\n').expect("a fence ends its line");
        let text = text.split_once("\n```").expect("a block ends").0;
        (info.trim() == "must-fail", text)
    };
    page.match_indices("```waf").map(block).collect()
}

#[test]
fn blocks_are_read_or_refused_as_the_page_says() {
    let page = page();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 3, "{} blocks", blocks.len());
    for (must_fail, text) in blocks {
        let errors = native::parse("waf-rules.md", text).err();
        assert_eq!(errors.is_some(), must_fail, "{text}\n{errors:?}");
    }
}

#[test]
fn the_page_names_every_word() {
    let page = page();
    let words = words::all().into_iter();
    let missing: Vec<&str> = words.filter(|word| !page.contains(&format!("`{word}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_page_names_the_tags_of_every_category() {
    let page = page();
    for (word, category) in words::CATEGORIES {
        let tags: Vec<String> =
            words::tags(*category).iter().map(|tag| format!("`{tag}`")).collect();
        let row = format!("| `{word}` | {} |\n", tags.join(" | "));
        assert!(page.contains(&row), "{row}");
    }
}
