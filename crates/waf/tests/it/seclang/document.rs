//! Each example of `docs/reference/seclang.md` is read.

use std::{fs, path::Path};

use selvedge_waf::{rule::Variable, transform::Transformation};

use super::{errors, read};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/seclang.md");
    fs::read_to_string(path).expect("the page is in the repository")
}

/// The blocks of a language in a Markdown text, each with the line of its fence.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, Vec<&'a str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            let inside = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```");
            blocks.push((number, inside.collect()));
        }
    }
    blocks
}

#[test]
fn examples() {
    let text = page();
    let examples = blocks(&text, "seclang");
    assert!(examples.len() >= 4, "only {} examples", examples.len());
    for (line, example) in examples {
        assert_eq!(errors(&example.join("\n")), "", "the example at line {line}");
    }
}

#[test]
fn reports() {
    let text = page();
    let (_, input) = blocks(&text, "seclang").pop().unwrap();
    let (_, output) = blocks(&text, "text").pop().unwrap();
    let report = read(&input.join("\n")).unwrap().report.to_string();
    assert_eq!(report.lines().collect::<Vec<_>>(), output);
}

#[test]
fn every_name_is_there() {
    let text = page();
    let variables = Variable::ALL.iter().map(|variable| variable.name());
    let transformations = Transformation::ALL.iter().map(|transformation| transformation.name());
    for name in variables.chain(transformations) {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}
