//! A schema made ready: it says whether a value fits, and if not, why, within a bound of work.

use std::sync::Arc;

use jsonschema::{
    Draft, Keyword, PatternOptions, Retrieve, ValidationError, ValidationOptions, Validator,
};
use serde_json::{Map, Value};

use super::{
    metered::{Budget, Exhausted, Metered, MeteredJson},
    pointer::Pointer,
    violation::{Violation, shortened},
};

/// How schemas are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Whether `format` is a demand: `None` leaves it to the draft.
    pub(super) formats: Option<bool>,
    /// How patterns are matched.
    pub(super) patterns: Patterns,
}

/// How patterns are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patterns {
    /// In time linear in the text. Look-around and back-references are refused when a schema is read.
    Linear,
    /// With look-around and back-references, by trying; a text that takes too many tries does not match.
    Backtracking,
}

/// What a value is under a schema.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It fits.
    Fits,
    /// It does not.
    Violates(Violations),
    /// To tell would take more work than one value is worth.
    TooCostly,
}

/// What is wrong with a value, never nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violations {
    /// The first of them.
    pub(super) listed: Vec<Violation>,
    /// How many there are beyond; `None` if that was not counted.
    pub(super) more: Option<usize>,
}

/// A schema made ready.
pub(super) struct Checker {
    validator: Validator<MeteredJson>,
    source: Source,
}

/// Where the parts of a schema are written.
pub(super) enum Source {
    /// Where their absolute URI says; this in front of it is not shown.
    Uri {
        /// The folder of the documents.
        hidden: &'static str,
    },
    /// Under `$defs`, by number, lie copies of what is written there.
    Copies(Vec<String>),
}

/// Looks at values that any body may have.
const STEPS: u64 = 500_000;
/// Looks that each byte of a body adds: a value has two bytes at least.
const STEPS_PER_BYTE: u64 = 16;
/// Violations that are counted.
const COUNTED: u64 = 4096;
/// To say what is wrong may take so many times the work that it took to see that something is.
const TELLING: u64 = 4;
/// Looks that it may take in any case.
const TELLING_LEAST: u64 = 20_000;
/// Bytes of a compiled pattern.
const PATTERN_SIZE: usize = 10 << 20;
/// Bytes that the matching of a pattern keeps for the next time.
const PATTERN_CACHE: usize = 2 << 20;
/// Tries of a pattern that backtracks.
const TRIES: usize = 100_000;
/// Faults of a schema that are told at once.
const FAULTS: usize = 20;

impl Checker {
    /// Makes `schema` ready. The error has the pointer to each fault that was found, and what it is.
    pub(super) fn new(
        schema: &Value,
        base: &str,
        files: impl Retrieve + 'static,
        dialect: Dialect,
        source: Source,
    ) -> Result<Self, Vec<Fault>> {
        let draft = Draft::default().detect(schema);
        if draft == Draft::Unknown {
            let named = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
            let what = format!("names a dialect that is not known: {}", shortened(named));
            return Err(vec![("/$schema".to_owned(), what)]);
        }
        let faults = faults(schema);
        if !faults.is_empty() {
            return Err(faults);
        }
        let options = options(dialect).with_base_uri(base).with_retriever(files);
        let options = match source {
            Source::Uri { .. } => options,
            Source::Copies(_) => forbid(forbid(options, "readOnly"), "writeOnly"),
        };
        let validator = options.build(schema).map_err(|error| {
            let patterns = bad_patterns(schema, dialect.patterns);
            if patterns.is_empty() { vec![fault(&error)] } else { patterns }
        })?;
        Ok(Self { validator, source })
    }

    /// Looks at a value that took `bytes` to write; `most` violations are listed.
    pub(super) fn check(&self, value: &Value, bytes: usize, most: usize) -> Finding {
        let steps = STEPS.saturating_add(STEPS_PER_BYTE.saturating_mul(bytes as u64));
        let budget = Budget::new(steps, u64::MAX);
        match budget.spend(|| self.validator.is_valid(Metered::new(value, &budget))) {
            Ok(true) => Finding::Fits,
            Ok(false) => {
                let seen = steps - budget.steps();
                let telling = TELLING_LEAST.saturating_add(TELLING.saturating_mul(seen));
                Finding::Violates(self.violations(value, telling.min(steps), most))
            }
            Err(Exhausted::Steps | Exhausted::Errors) => Finding::TooCostly,
        }
    }

    /// Looks at a value as the member `number` of an object, which has the schema of this number.
    pub(super) fn check_entry(
        &self,
        number: usize,
        value: Value,
        bytes: usize,
        most: usize,
    ) -> Finding {
        let number = number.to_string();
        let prefix = format!("/{number}");
        let member = Value::Object([(number, value)].into_iter().collect());
        let mut finding = self.check(&member, bytes, most);
        if let Finding::Violates(Violations { listed, .. }) = &mut finding {
            listed.iter_mut().for_each(|violation| violation.strip(&prefix));
        }
        finding
    }

    /// What is wrong with a value: all that is listed and the number of the rest, else the first, else
    /// only that something is.
    fn violations(&self, value: &Value, steps: u64, most: usize) -> Violations {
        let budget = Budget::new(steps, COUNTED);
        let all = budget.spend(|| {
            let mut errors = self.validator.iter_errors(Metered::new(value, &budget));
            let listed = errors.by_ref().take(most).map(|error| self.violation(&error, value));
            Violations { listed: listed.collect(), more: Some(errors.count()) }
        });
        let budget = Budget::new(steps, COUNTED);
        let first = || {
            budget.spend(|| {
                let outcome = self.validator.validate(Metered::new(value, &budget));
                let first = outcome.err().map(|error| self.violation(&error, value));
                Violations { listed: first.into_iter().collect(), more: None }
            })
        };
        let told = all.or_else(|_| first()).ok().filter(|told| !told.listed.is_empty());
        told.unwrap_or_else(|| Violations { listed: vec![Violation::untold()], more: None })
    }

    fn violation(&self, error: &ValidationError<'_>, value: &Value) -> Violation {
        Violation::from_error(error, value, &|error| self.source.of(error))
    }
}

impl Source {
    fn of(&self, error: &ValidationError<'_>) -> String {
        match self {
            Self::Uri { hidden } => match error.absolute_keyword_location() {
                Some(uri) => uri.as_str().strip_prefix(hidden).unwrap_or(uri.as_str()).to_owned(),
                None => self.of_path(error.schema_path().as_str()),
            },
            Self::Copies(_) => self.of_path(error.schema_path().as_str()),
        }
    }

    /// Where the part of the schema at `path` is written.
    fn of_path(&self, path: &str) -> String {
        let copied = match self {
            Self::Uri { .. } => None,
            Self::Copies(copies) => path.strip_prefix("/$defs/").and_then(|path| {
                let end = path.find('/').unwrap_or(path.len());
                let origin = copies.get(path[..end].parse::<usize>().ok()?)?;
                Some(format!("{origin}{}", &path[end..]))
            }),
        };
        copied.unwrap_or_else(|| Pointer::from_text(path).to_fragment())
    }
}

/// Forbids what has `keyword`, which marks properties of the other direction.
fn forbid(options: Options, keyword: &'static str) -> Options {
    options.with_keyword(keyword, move |_, _, _| Ok(Box::new(Forbidden(keyword))))
}

/// Whatever is there must not be.
struct Forbidden(&'static str);

impl<'i> Keyword<'i, MeteredJson> for Forbidden {
    fn validate(&self, _: Metered<'i>) -> Result<(), ValidationError<'i>> {
        let side = if self.0 == "readOnly" { "a request" } else { "a response" };
        Err(ValidationError::custom(format!("is `{}` and must not be in {side}", self.0)))
    }

    fn is_valid(&self, _: Metered<'i>) -> bool {
        false
    }
}

type Options = ValidationOptions<'static, Arc<dyn Retrieve>, MeteredJson>;

fn options(dialect: Dialect) -> Options {
    let options = jsonschema::options_for::<MeteredJson>().with_format("byte", is_base64);
    let options = match dialect.formats {
        Some(formats) => options.should_validate_formats(formats),
        None => options,
    };
    match dialect.patterns {
        Patterns::Linear => options.with_pattern_options(
            PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_CACHE),
        ),
        Patterns::Backtracking => options.with_pattern_options(
            PatternOptions::fancy_regex()
                .backtrack_limit(TRIES)
                .size_limit(PATTERN_SIZE)
                .dfa_size_limit(PATTERN_CACHE),
        ),
    }
}

/// Whether a text is base64 (RFC 4648 §4), as `format: byte` asks.
fn is_base64(text: &str) -> bool {
    data_encoding::BASE64.decode_len(text.len()).is_ok()
        && data_encoding::BASE64.decode(text.as_bytes()).is_ok()
}

/// Where a schema has a fault, and what it is.
pub(super) type Fault = (String, String);

/// What of a schema its dialect does not allow.
fn faults(schema: &Value) -> Vec<Fault> {
    match jsonschema::meta::validator_for(schema) {
        Ok(meta) => meta
            .iter_errors(schema)
            .take(FAULTS)
            .map(|error| {
                let place = error.instance_path().as_str().to_owned();
                let source = |_: &ValidationError<'_>| String::new();
                let violation = Violation::from_error(&error, schema, &source);
                (place, violation.closest.first().unwrap_or(&violation).message.clone())
            })
            .collect(),
        Err(error) => vec![fault(&error)],
    }
}

fn fault(error: &ValidationError<'_>) -> Fault {
    (error.schema_path().as_str().to_owned(), error.to_string())
}

/// The patterns of `schema` that cannot be matched, and why.
fn bad_patterns(schema: &Value, patterns: Patterns) -> Vec<Fault> {
    let mut found = Vec::new();
    each_object(schema, &mut |place, members| {
        let pattern = members.get("pattern").and_then(Value::as_str);
        let names = members.get("patternProperties").and_then(Value::as_object);
        let names = names.into_iter().flat_map(|names| names.keys().map(String::as_str));
        let named = pattern.map(|pattern| ("pattern", pattern));
        for (keyword, pattern) in named.into_iter().chain(names.map(|n| ("patternProperties", n))) {
            let why = bad_pattern(pattern, patterns);
            found.extend(why.map(|why| (place.join(keyword).as_str().to_owned(), why)));
        }
    });
    found.sort();
    found.truncate(FAULTS);
    found
}

/// The formats that `schema` names and nobody knows.
pub(super) fn unknown_formats(schema: &Value) -> Vec<Fault> {
    let draft = Draft::default().detect(schema);
    let options = options(Dialect { formats: None, patterns: Patterns::Linear });
    let mut found = Vec::new();
    each_object(schema, &mut |place, members| {
        let format = members.get("format").and_then(Value::as_str);
        if let Some(format) = format.filter(|format| !options.is_known_format(draft, format)) {
            let format = shortened(format);
            let note =
                format!("names the format `{format}`, which is not known; it checks nothing");
            found.push((place.join("format").as_str().to_owned(), note));
        }
    });
    found.sort();
    found.truncate(FAULTS);
    found
}

/// Goes through every object in `schema`, whether it is a schema or not.
fn each_object(schema: &Value, visit: &mut dyn FnMut(&Pointer, &Map<String, Value>)) {
    let mut open = vec![(Pointer::root(), schema)];
    while let Some((place, value)) = open.pop() {
        match value {
            Value::Object(members) => {
                visit(&place, members);
                open.extend(members.iter().map(|(name, value)| (place.join(name), value)));
            }
            Value::Array(items) => {
                let item = |(at, item)| (place.join_index(at), item);
                open.extend(items.iter().enumerate().map(item));
            }
            _ => {}
        }
    }
}

fn bad_pattern(pattern: &str, patterns: Patterns) -> Option<String> {
    let compiles = |patterns| {
        let dialect = Dialect { formats: None, patterns };
        options(dialect).build(&serde_json::json!({ "pattern": pattern })).is_ok()
    };
    if compiles(patterns) {
        return None;
    }
    let pattern = shortened(pattern);
    Some(if patterns == Patterns::Linear && compiles(Patterns::Backtracking) {
        format!(
            "`{pattern}` has look-around, a back-reference or too many repetitions, which take more than linear time"
        )
    } else {
        format!("`{pattern}` is no regular expression of ECMA-262, or too large a one")
    })
}

/// Finds no file: for schemas that are whole.
pub(super) struct NoFiles;

impl Retrieve for NoFiles {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` is not a file of the document's folder; nothing is fetched").into())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::schema::violation::Place;

    const DIALECT: Dialect = Dialect { formats: Some(true), patterns: Patterns::Linear };

    fn checker(schema: &Value, dialect: Dialect) -> Result<Checker, Vec<Fault>> {
        let source = Source::Uri { hidden: "folder:///" };
        Checker::new(schema, "folder:///s.json", NoFiles, dialect, source)
    }

    #[track_caller]
    fn check(schema: Value, value: Value, expected: Expect) {
        let bytes = value.to_string().len();
        let text = match checker(&schema, DIALECT).unwrap().check(&value, bytes, 3) {
            Finding::Fits => "fits".to_owned(),
            Finding::TooCostly => "too costly".to_owned(),
            Finding::Violates(Violations { listed, more }) => {
                let line = |violation: &Violation| {
                    let Violation { place, source, message, .. } = violation;
                    let Place::Body(pointer) = place else { panic!("a body was checked") };
                    format!("{:?} {message} [{source}]\n", pointer.as_str())
                };
                format!("{}{more:?}", listed.iter().map(line).collect::<String>())
            }
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn values_fit_or_are_told_why_not() {
        let schema = json!({"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}});
        check(schema.clone(), json!({"a": 1.0}), expect!["fits"]);
        check(
            schema,
            json!({"a": "x"}),
            expect![[r#"
                "/a" must be an integer, not a string [s.json#/$defs/n/type]
                Some(0)"#]],
        );
        check(
            json!({"items": {"type": "string"}}),
            json!([1, 2, "a", 3, 4, 5]),
            expect![[r#"
                "/0" must be a string, not an integer [s.json#/items/type]
                "/1" must be a string, not an integer [s.json#/items/type]
                "/3" must be a string, not an integer [s.json#/items/type]
                Some(2)"#]],
        );
        check(
            json!({"items": {"type": "string"}}),
            json!(vec![1; 10_000]),
            expect![[r#"
                "/0" must be a string, not an integer [s.json#/items/type]
                None"#]],
        );
        check(
            json!({"format": "date"}),
            json!("2024-02-30"),
            expect![[r#"
                "" must have the format `date` [s.json#/format]
                Some(0)"#]],
        );
        check(json!({"format": "byte"}), json!("YWI="), expect!["fits"]);
        check(
            json!({"format": "byte"}),
            json!("YWI"),
            expect![[r#"
                "" must have the format `byte` [s.json#/format]
                Some(0)"#]],
        );
    }

    #[test]
    fn hostile_schemas_cost_no_more_than_the_budget() {
        let branch = |other: &str| json!({"properties": {"a": {"$ref": "#"}}, "required": [other]});
        let branches = [branch("b"), branch("c"), branch("d")];
        let value =
            (0..100).fold(json!({}), |inner, _| json!({"a": inner, "b": 1, "c": 1, "d": 1}));
        // The validator remembers what it said of a value under a reference.
        check(
            json!({"type": "object", "not": {"anyOf": branches}}),
            value.clone(),
            expect!["fits"],
        );
        check(
            json!({"type": "object", "oneOf": branches}),
            value,
            expect![[r#"
            "" is not as its schema says, in more ways than can be told []
            None"#]],
        );
        let options: Vec<Value> = (0..3000).map(|n| json!([n])).collect();
        let schema = json!({"items": {"not": {"enum": options}}});
        check(schema, json!(vec![[-1]; 3000]), expect!["too costly"]);
    }

    #[track_caller]
    fn refused(schema: Value, expected: Expect) {
        let faults = checker(&schema, DIALECT).err().expect("the schema has a fault");
        let lines: Vec<String> =
            faults.iter().map(|(place, what)| format!("{place} {what}")).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn faults_of_schemas_are_found_when_they_are_read() {
        refused(
            json!({"type": "strin", "minLength": -1}),
            expect![[r#"
                /minLength must not be less than 0
                /type must be one of `array`, `boolean`, `integer`, `null`, `number`, `object`, `string`"#]],
        );
        refused(json!({"$ref": "#/$defs/none"}), expect![" Pointer '/$defs/none' does not exist"]);
        refused(
            json!({"$ref": "other.json"}),
            expect![[
                r##" Resource 'folder:///other.json' is not present in a registry and retrieving it failed: `folder:///other.json` is not a file of the document's folder; nothing is fetched"##
            ]],
        );
        refused(
            json!({"$ref": "https://example.com/other.json"}),
            expect![[
                r##" Resource 'https://example.com/other.json' is not present in a registry and retrieving it failed: `https://example.com/other.json` is not a file of the document's folder; nothing is fetched"##
            ]],
        );
        refused(
            json!({"$schema": "https://example.com/dialect"}),
            expect!["/$schema names a dialect that is not known: https://example.com/dialect"],
        );
        refused(
            json!({
                "properties": {"a": {"pattern": "^(?!x)"}, "pattern": {"pattern": "("}},
                "patternProperties": {"(a)\\1": true},
            }),
            expect![[r#"
                /patternProperties `(a)\1` has look-around, a back-reference or too many repetitions, which take more than linear time
                /properties/a/pattern `^(?!x)` has look-around, a back-reference or too many repetitions, which take more than linear time
                /properties/pattern/pattern `(` is no regular expression of ECMA-262, or too large a one"#]],
        );
        refused(
            json!({"pattern": "((a{100}){100}){100}"}),
            expect![[
                r##"/pattern `((a{100}){100}){100}` is no regular expression of ECMA-262, or too large a one"##
            ]],
        );
    }

    #[test]
    fn backtracking_is_there_for_those_who_ask() {
        let dialect = Dialect { patterns: Patterns::Backtracking, ..DIALECT };
        let checker = checker(&json!({"pattern": "^(?=.*a)(?=.*b).+$"}), dialect).unwrap();
        assert_eq!(checker.check(&json!("ba"), 4, 1), Finding::Fits);
        assert_ne!(checker.check(&json!("bb"), 4, 1), Finding::Fits);
    }

    #[test]
    fn a_pattern_that_tries_too_often_does_not_match() {
        let dialect = Dialect { patterns: Patterns::Backtracking, ..DIALECT };
        let checker = checker(&json!({"pattern": "^(?=(a+)+$)b"}), dialect).unwrap();
        let text = json!(format!("{}c", "a".repeat(60)));
        assert_ne!(checker.check(&text, 60, 1), Finding::Fits);
    }
}
