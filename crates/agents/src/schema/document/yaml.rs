//! YAML 1.2 as far as it says what JSON can say.
//!
//! The parser underneath gives events with positions; the tree is built here, since what matters is
//! what it refuses: keys that occur twice, aliases that multiply a document beyond its bound, values
//! that JSON does not have. Scalars follow the core schema, so `on` and `2024-01-01` are texts. `<<` merges,
//! as YAML 1.1 has it, because API descriptions use it.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Number, Value};

use super::Limits;
use crate::schema::pointer::Pointer;

/// Why a text is not taken, and the line that says so, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads the one document of `text`.
pub(super) fn parse(text: &str, limits: Limits) -> Result<Value, YamlError> {
    let mut builder = Builder { limits, ..Builder::default() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        builder.take(event).map_err(|what| YamlError { line: span.start.line(), what })?;
    }
    builder.root.ok_or(YamlError { line: 1, what: "there is no document".to_owned() })
}

/// Finds the line of each of `pointers`, or of what comes closest to it from above.
pub(super) fn lines(text: &str, pointers: &[Pointer]) -> Vec<Option<usize>> {
    let mut search = Search::new(pointers);
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        search.take(&event, span.start.line());
    }
    search.found.into_iter().map(|(_, line)| (line > 0).then_some(line)).collect()
}

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), what: format!("is not YAML: {}", error.info()) }
    }
}

/// A value with what it costs to repeat it.
#[derive(Clone, Debug)]
struct Sized {
    value: Value,
    nodes: usize,
    depth: usize,
}

#[derive(Debug, Default)]
struct Builder {
    limits: Limits,
    /// Collections that are open.
    open: Vec<Collection>,
    anchors: HashMap<usize, Sized>,
    nodes: usize,
    root: Option<Value>,
}

#[derive(Debug)]
struct Collection {
    anchor: usize,
    nodes: usize,
    depth: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Sequence(Vec<Value>),
    Mapping { members: Map<String, Value>, key: Option<Key>, merged: Vec<Value> },
}

#[derive(Debug)]
enum Key {
    Name(String),
    Merge,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.expects_key() && anchor == 0 {
                    return self.key(text, style);
                }
                let value = scalar(&text, style, tag.as_deref())?;
                self.pay(1)?;
                self.value(anchor, Sized { value, nodes: 1, depth: 0 })
            }
            Event::SequenceStart(anchor, tag) => {
                only_tag(tag.as_deref(), "seq")?;
                self.open(anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                only_tag(tag.as_deref(), "map")?;
                let (members, key, merged) = (Map::new(), None, Vec::new());
                self.open(anchor, Content::Mapping { members, key, merged })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).map(|known| known.nodes);
                self.pay(known.ok_or("the alias refers to what it is part of")?)?;
                let value = self.anchors[&anchor].clone();
                self.value(0, value)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("there is more than one document".to_owned())
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn expects_key(&self) -> bool {
        let content = self.open.last().map(|collection| &collection.content);
        matches!(content, Some(Content::Mapping { key: None, .. }))
    }

    fn key(&mut self, text: Cow<'_, str>, style: ScalarStyle) -> Result<(), String> {
        let name = match style {
            ScalarStyle::Plain if text.is_empty() => return Err("a key is empty".to_owned()),
            ScalarStyle::Plain if text == "<<" => Key::Merge,
            _ => Key::Name(text.into_owned()),
        };
        let Some(Collection { content: Content::Mapping { members, key, .. }, .. }) =
            self.open.last_mut()
        else {
            unreachable!("a key is expected in mappings only")
        };
        if let Key::Name(name) = &name
            && members.contains_key(name)
        {
            return Err(format!("the key `{name}` occurs twice"));
        }
        *key = Some(name);
        Ok(())
    }

    fn open(&mut self, anchor: usize, content: Content) -> Result<(), String> {
        if self.expects_key() {
            return Err("a key is not a text".to_owned());
        }
        if self.open.len() >= self.limits.depth {
            return Err(format!("is nested deeper than {} levels", self.limits.depth));
        }
        self.pay(1)?;
        self.open.push(Collection { anchor, nodes: 1, depth: 1, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(Collection { anchor, nodes, depth, content }) = self.open.pop() else {
            unreachable!("the parser closes what it opened")
        };
        let value = match content {
            Content::Sequence(items) => Value::Array(items),
            Content::Mapping { members, merged, .. } => Value::Object(merge(members, merged)),
        };
        self.value(anchor, Sized { value, nodes, depth })
    }

    /// Puts a whole value in its place.
    fn value(&mut self, anchor: usize, sized: Sized) -> Result<(), String> {
        if anchor != 0 {
            self.pay(sized.nodes)?;
            self.anchors.insert(anchor, sized.clone());
        }
        let Sized { value, nodes, depth } = sized;
        if self.open.len() + depth > self.limits.depth {
            return Err(format!("is nested deeper than {} levels", self.limits.depth));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        parent.nodes += nodes;
        parent.depth = parent.depth.max(depth + 1);
        match &mut parent.content {
            Content::Sequence(items) => items.push(value),
            Content::Mapping { members, key, merged } => match key.take() {
                Some(Key::Name(name)) => {
                    members.insert(name, value);
                }
                Some(Key::Merge) => merged.extend(mappings(value)?),
                None => return self.aliased_key(value),
            },
        }
        Ok(())
    }

    /// A key that has an anchor or is an alias.
    fn aliased_key(&mut self, value: Value) -> Result<(), String> {
        match value {
            Value::String(name) => self.key(Cow::Owned(name), ScalarStyle::DoubleQuoted),
            _ => Err("a key is not a text".to_owned()),
        }
    }

    fn pay(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > self.limits.nodes {
            return Err(format!("has more than {} values, aliases followed", self.limits.nodes));
        }
        Ok(())
    }
}

/// The mappings that `<<` names.
fn mappings(value: Value) -> Result<Vec<Value>, String> {
    let list = match value {
        Value::Array(list) => list,
        value => vec![value],
    };
    let all = list.iter().all(Value::is_object);
    if all { Ok(list) } else { Err("`<<` merges mappings only".to_owned()) }
}

/// Adds what `members` lack, from the first that has it.
fn merge(mut members: Map<String, Value>, merged: Vec<Value>) -> Map<String, Value> {
    for value in merged {
        let Value::Object(more) = value else { unreachable!("only mappings were taken") };
        for (name, value) in more {
            members.entry(name).or_insert(value);
        }
    }
    members
}

fn only_tag(tag: Option<&Tag>, expected: &str) -> Result<(), String> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == expected => Ok(()),
        Some(tag) => Err(format!("the tag `{tag}` has no meaning here")),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        let is_plain = style == ScalarStyle::Plain;
        return if is_plain { plain(text) } else { Ok(Value::from(text)) };
    };
    let core = if tag.is_yaml_core_schema() { tag.suffix.as_str() } else { "" };
    let value = plain(text)?;
    let fits = match core {
        "str" => return Ok(Value::from(text)),
        "null" => value.is_null(),
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        _ => return Err(format!("the tag `{tag}` has no meaning here")),
    };
    if fits { Ok(value) } else { Err(format!("`{text}` is no `{tag}`")) }
}

/// A scalar without quotes, by YAML 1.2.2 §10.3.2.
fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("JSON has no number `{text}`"));
    }
    Ok(number(text, unsigned).map_or_else(|| Value::from(text), Value::Number))
}

fn number(text: &str, unsigned: &str) -> Option<Number> {
    let radix = |prefix, radix| u64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    if let Some(number) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return Some(number.into());
    }
    let decimal = text.strip_prefix('+').unwrap_or(text);
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) && !unsigned.is_empty() {
        let integer = decimal.parse::<i64>().map(Number::from);
        let integer = integer.or_else(|_| decimal.parse::<u64>().map(Number::from));
        return integer.ok().or_else(|| Number::from_f64(decimal.parse().ok()?));
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_float = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && !exponent.is_empty()
        && digits(exponent);
    is_float.then(|| decimal.parse().ok()).flatten().and_then(Number::from_f64)
}

/// Where pointers lead, found in one go through the events.
struct Search {
    targets: Vec<Vec<String>>,
    /// For each target: steps of it that were found, and the line of the last.
    found: Vec<(usize, usize)>,
    /// Collections that are open.
    path: Vec<Step>,
}

/// A collection, and the step from it to the value that is being read.
struct Step {
    is_mapping: bool,
    /// `None` where a key comes.
    name: Option<String>,
    items: usize,
}

impl Search {
    fn new(pointers: &[Pointer]) -> Self {
        let targets: Vec<Vec<String>> = pointers.iter().map(|p| p.steps().collect()).collect();
        Self { found: vec![(0, 0); targets.len()], targets, path: Vec::new() }
    }

    fn take(&mut self, event: &Event<'_>, line: usize) {
        match event {
            Event::Scalar(text, ..) => match self.path.last_mut() {
                Some(Step { is_mapping: true, name: name @ None, .. }) => {
                    *name = Some(text.to_string());
                    self.compare(line);
                }
                _ => self.value(line),
            },
            Event::Alias(_) => self.value(line),
            Event::SequenceStart(..) => {
                self.begin(line);
                self.path.push(Step { is_mapping: false, name: None, items: 0 });
            }
            Event::MappingStart(..) => {
                self.begin(line);
                self.path.push(Step { is_mapping: true, name: None, items: 0 });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.path.pop();
                self.end();
            }
            _ => {}
        }
    }

    fn value(&mut self, line: usize) {
        self.begin(line);
        self.end();
    }

    fn begin(&mut self, line: usize) {
        if let Some(step) = self.path.last_mut() {
            if step.is_mapping {
                return;
            }
            step.name = Some(step.items.to_string());
            step.items += 1;
        }
        self.compare(line);
    }

    fn end(&mut self) {
        if let Some(Step { is_mapping: true, name, .. }) = self.path.last_mut() {
            *name = None;
        }
    }

    fn compare(&mut self, line: usize) {
        let depth = self.path.len();
        for (target, found) in self.targets.iter().zip(&mut self.found) {
            let leads = |(step, own): (&String, &Step)| own.name.as_ref() == Some(step);
            let is_new = found.1 == 0 || depth > found.0;
            if is_new && depth <= target.len() && target.iter().zip(&self.path).all(leads) {
                *found = (depth, line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits { size: 1 << 20, nodes: 1000, depth: 20 };

    #[track_caller]
    fn check(text: &str, expected: Value) {
        assert_eq!(parse(text, LIMITS), Ok(expected), "{text}");
    }

    #[track_caller]
    fn refused(text: &str, expected: Expect) {
        let YamlError { line, what } = parse(text, LIMITS).unwrap_err();
        expected.assert_eq(&format!("{line}: {what}"));
    }

    #[test]
    fn scalars_of_the_core_schema() {
        check("[null, ~, NULL, true, False]", json!([null, null, null, true, false]));
        check("[0, -1, +2, 007, 0o17, 0xFF]", json!([0, -1, 2, 7, 15, 255]));
        check("[1.5, .5, 1., 1e3, -2.5E-1]", json!([1.5, 0.5, 1.0, 1000.0, -0.25]));
        check(
            "[18446744073709551615, 18446744073709551616]",
            json!([u64::MAX, 1.844_674_407_370_955_2e19]),
        );
        check(
            "[yes, on, 2024-01-01, 1_000, 1:30, 0b1, 1e, e1, ., '1', \"true\"]",
            json!([
                "yes",
                "on",
                "2024-01-01",
                "1_000",
                "1:30",
                "0b1",
                "1e",
                "e1",
                ".",
                "1",
                "true"
            ]),
        );
        check(
            "[!!str 1, !!int '2', !!float 3, !!null '', !!bool 'true']",
            json!(["1", 2, 3, null, true]),
        );
        check("a:\n  - |\n    x\n    y\n  - >-\n    x\n    y\n", json!({"a": ["x\ny\n", "x y"]}));
    }

    #[test]
    fn keys_are_texts() {
        check(
            "200: a\n1.10: b\ntrue: c\n'': d\nnull: e",
            json!(
                {"200": "a", "1.10": "b", "true": "c", "": "d", "null": "e"}
            ),
        );
        check("? a\n: 1", json!({"a": 1}));
        check("a: &x k\n*x : 2", json!({"a": "k", "k": 2}));
    }

    #[test]
    fn aliases_and_merges() {
        check("a: &x {b: [1]}\nc: *x", json!({"a": {"b": [1]}, "c": {"b": [1]}}));
        check(
            "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd:\n  <<: *a\n  x: 4",
            json!({
                "a": {"x": 1, "y": 1}, "b": {"y": 2, "z": 2},
                "c": {"x": 1, "y": 1, "z": 3}, "d": {"x": 4, "y": 1},
            }),
        );
        check("'<<': 1", json!({"<<": 1}));
    }

    #[test]
    fn what_is_refused() {
        refused("", expect!["1: there is no document"]);
        refused("a: 1\nb: 2\na: 3", expect!["3: the key `a` occurs twice"]);
        refused("a: 1\n---\nb: 2", expect!["2: there is more than one document"]);
        refused(
            "a: [1",
            expect!["2: is not YAML: while parsing a flow sequence, expected ',' or ']'"],
        );
        refused("a: *b", expect!["1: is not YAML: while parsing node, found unknown anchor"]);
        refused("a: &a [*a]", expect!["1: the alias refers to what it is part of"]);
        refused("[1]: 2", expect!["1: a key is not a text"]);
        refused(": 2", expect!["1: a key is empty"]);
        refused("a: &x [1]\n*x : 2", expect!["2: a key is not a text"]);
        refused("a: .inf", expect!["1: JSON has no number `.inf`"]);
        refused("a: !custom 1", expect!["1: the tag `!custom` has no meaning here"]);
        refused("a: !!int x", expect!["1: `x` is no `tag:yaml.org,2002:!int`"]);
        refused("a: !!set {b}", expect!["1: the tag `tag:yaml.org,2002:!set` has no meaning here"]);
        refused("a: {<<: 1}", expect!["1: `<<` merges mappings only"]);
        refused(
            &format!("\n{}1{}", "[".repeat(21), "]".repeat(21)),
            expect!["2: is nested deeper than 20 levels"],
        );
        refused(
            &format!("[{}]", "1,".repeat(1001)),
            expect!["1: has more than 1000 values, aliases followed"],
        );
    }

    #[test]
    fn aliases_cannot_multiply() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let inner = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        refused(&bomb, expect!["3: has more than 1000 values, aliases followed"]);
        let mut deep = "a0: &a0 [x]\n".to_owned();
        for level in 1..30 {
            deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        refused(&deep, expect!["20: is nested deeper than 20 levels"]);
    }

    #[track_caller]
    fn check_line(text: &str, pointer: &str, expected: Option<usize>) {
        assert_eq!(lines(text, &[Pointer::from_text(pointer)]), [expected], "{pointer}");
    }

    #[test]
    fn pointers_lead_to_lines() {
        let text = "# head\na: &z 1\nb:\n  - x: 1\n    y: 2\n  - *z\n/c~:\n  200: {}\n";
        check_line(text, "", Some(2));
        check_line(text, "/a", Some(2));
        check_line(text, "/b", Some(3));
        check_line(text, "/b/0/y", Some(5));
        check_line(text, "/b/1", Some(6));
        check_line(text, "/b/1/q", Some(6));
        check_line(text, "/b/7", Some(3));
        check_line(text, "/~1c~0/200", Some(8));
        check_line("{\n\"a\": {\n\"b\": [1,\n2]}}", "/a/b/1", Some(4));
        check_line("", "/a", None);
        let both = [Pointer::from_text("/b"), Pointer::from_text("/a")];
        assert_eq!(lines(text, &both), [Some(3), Some(2)]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c0-9:,&*<!\\-\\[\\]{}'\"|>?#% \n]{0,60}") {
            let _ = parse(&text, LIMITS);
            let _ = lines(&text, &[Pointer::from_text("/a/0")]);
        }

        #[test]
        fn json_is_yaml(keys in prop::collection::btree_map("[a-z ]{1,4}", any::<i64>(), 0..5)) {
            let value = json!({"a": keys, "b": ["x: y", "- #", null, 1.5, true]});
            prop_assert_eq!(parse(&value.to_string(), LIMITS), Ok(value));
        }
    }
}
