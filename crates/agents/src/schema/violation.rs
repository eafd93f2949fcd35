//! What is wrong with a message, in words that repeat nothing of it but names.

use std::fmt::{self, Write};

use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

use super::pointer::Pointer;

/// One thing that is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// Where.
    pub(super) place: Place,
    /// The keyword of the schema or of the description that asks for it: `required`, `maxLength`.
    pub(super) rule: String,
    /// Where that is written: `orders.yaml#/components/schemas/Order/properties/id/type`.
    pub(super) source: String,
    /// What is wrong.
    pub(super) message: String,
    /// Where no alternative fits: what is wrong by the one that comes closest.
    pub(super) closest: Vec<Violation>,
}

/// Where in a message something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the body.
    Body(Pointer),
    /// In a part of the head.
    Parameter {
        /// `path`, `query`, `header` or `cookie`.
        location: &'static str,
        /// Its name.
        name: String,
        /// Where in its value.
        pointer: Pointer,
    },
}

/// Characters of one name, pattern or value of a schema that a message shows.
const SHOWN: usize = 60;
/// Names and values that a message lists.
const LISTED: usize = 8;
/// Violations of the closest alternative that are told.
const CLOSEST: usize = 3;
/// Alternatives inside each other that are told.
const DEPTH: usize = 2;

impl Violation {
    /// What `error` says of a part of `body`; `source` finds where the schema's location is written.
    pub(super) fn from_error(
        error: &ValidationError<'_>,
        body: &Value,
        source: &dyn Fn(&ValidationError<'_>) -> String,
    ) -> Self {
        Self::from_error_at(error, body, source, DEPTH)
    }

    /// Something, of which to tell more would take too much work.
    pub(super) fn untold() -> Self {
        Self {
            place: Place::Body(Pointer::root()),
            rule: "schema".to_owned(),
            source: String::new(),
            message: "is not as its schema says, in more ways than can be told".to_owned(),
            closest: Vec::new(),
        }
    }

    /// Takes `prefix` off the places in the body.
    pub(super) fn strip(&mut self, prefix: &str) {
        if let Place::Body(pointer) = &mut self.place {
            let inner = pointer.as_str().strip_prefix(prefix).unwrap_or(pointer.as_str());
            *pointer = Pointer::from_text(inner);
        }
        self.closest.iter_mut().for_each(|violation| violation.strip(prefix));
    }

    /// Says that it is in a part of the head.
    pub(super) fn in_parameter(&mut self, location: &'static str, name: &str) {
        if let Place::Body(pointer) = &mut self.place {
            let pointer = std::mem::take(pointer);
            self.place = Place::Parameter { location, name: name.to_owned(), pointer };
        }
        self.closest.iter_mut().for_each(|violation| violation.in_parameter(location, name));
    }

    fn from_error_at(
        error: &ValidationError<'_>,
        body: &Value,
        source: &dyn Fn(&ValidationError<'_>) -> String,
        depth: usize,
    ) -> Self {
        let nested = |error| Self::from_error_at(error, body, source, depth - 1);
        let closest = if depth > 0 { closest(error) } else { &[] };
        let pointer = error.instance_path().as_str();
        let keyword = error.kind().keyword();
        let is_closed = keyword == "falseSchema"
            && error.schema_path().as_str().ends_with("/additionalProperties");
        Self {
            place: Place::Body(Pointer::from_text(pointer)),
            rule: if is_closed { "additionalProperties" } else { keyword }.to_owned(),
            source: source(error),
            message: if is_closed {
                "must not have properties".to_owned()
            } else {
                message(error.kind(), &|| kind_of(body.pointer(pointer)))
            },
            closest: closest.iter().take(CLOSEST).map(nested).collect(),
        }
    }
}

/// The errors of the alternative that comes closest to what was meant.
fn closest<'e>(error: &'e ValidationError<'_>) -> &'e [ValidationError<'static>] {
    use ValidationErrorKind as Kind;
    let (Kind::AnyOf { context } | Kind::OneOfNotValid { context }) = error.kind() else {
        return &[];
    };
    let depth = |inner: &ValidationError<'_>| inner.instance_path().as_str().matches('/').count();
    let here = depth(error);
    let fit = |branch: &&Vec<ValidationError<'_>>| {
        let is_other_type = |inner: &ValidationError<'_>| {
            matches!(inner.kind(), Kind::Type { .. } | Kind::FalseSchema) && depth(inner) == here
        };
        let is_other_kind = |inner: &ValidationError<'_>| {
            matches!(inner.kind(), Kind::Constant { .. } | Kind::Enum { .. })
        };
        (
            !branch.iter().any(is_other_type),
            !branch.iter().any(is_other_kind),
            branch.iter().map(depth).min().unwrap_or_default(),
            usize::MAX - branch.len(),
        )
    };
    // Of equals the first, as the schema's author wrote them.
    context.iter().rev().max_by_key(fit).map_or(&[], Vec::as_slice)
}

fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "this",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(number)) if number.is_f64() => "a number",
        Some(Value::Number(_)) => "an integer",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    }
}

fn message(kind: &ValidationErrorKind, found: &dyn Fn() -> &'static str) -> String {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::AdditionalItems { limit } => {
            format!("must not have more than {}", many(limit, "item", "items"))
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("must not have {}", names("the property", "the properties", unexpected))
        }
        Kind::AnyOf { .. } => "must be valid under one of the alternatives at least".to_owned(),
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            "could not be compared with the pattern".to_owned()
        }
        Kind::Constant { expected_value } => format!("must be {}", shown(expected_value)),
        Kind::Contains => "must have an item, or as many, as `contains` asks for".to_owned(),
        Kind::ContentEncoding { content_encoding } => {
            format!("must be encoded as {}", text(content_encoding))
        }
        Kind::ContentMediaType { content_media_type } => {
            format!("must be text of the type {}", text(content_media_type))
        }
        Kind::Custom { message, .. } => message.clone(),
        Kind::Enum { options } => format!("must be one of {}", options_of(options)),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::FalseSchema => "must not be there".to_owned(),
        Kind::Format { format } => format!("must have the format {}", text(format)),
        Kind::FromUtf8 { .. } => "must hold text when decoded".to_owned(),
        Kind::MaxItems { limit } => {
            format!("must not have more than {}", many(limit, "item", "items"))
        }
        Kind::Maximum { limit } => format!("must not be more than {limit}"),
        Kind::MaxLength { limit } => {
            format!("must not have more than {}", many(limit, "character", "characters"))
        }
        Kind::MaxProperties { limit } => {
            format!("must not have more than {}", many(limit, "property", "properties"))
        }
        Kind::MinItems { limit } => format!("must have {} at least", many(limit, "item", "items")),
        Kind::Minimum { limit } => format!("must not be less than {limit}"),
        Kind::MinLength { limit } => {
            format!("must have {} at least", many(limit, "character", "characters"))
        }
        Kind::MinProperties { limit } => {
            format!("must have {} at least", many(limit, "property", "properties"))
        }
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::Not { .. } => "must not be valid under the schema in `not`".to_owned(),
        Kind::OneOfMultipleValid { .. } => {
            "must be valid under one alternative only, and is under several".to_owned()
        }
        Kind::OneOfNotValid { .. } => "must be valid under one of the alternatives".to_owned(),
        Kind::Pattern { pattern } => format!("must match the pattern {}", text(pattern)),
        Kind::PropertyNames { error } => {
            let name = error.instance().as_str().map_or("of such length".to_owned(), text);
            let why = message(error.kind(), &|| "a string");
            format!("must not have a property {name}: the name {why}")
        }
        Kind::Required { property } => format!("must have the property {}", shown(property)),
        Kind::Type { kind } => format!("must be {}, not {}", types(kind), found()),
        Kind::UnevaluatedItems { unexpected } => {
            let items = many(&unexpected.len(), "item", "items");
            format!("must not have {items} of those it has")
        }
        Kind::UniqueItems => "must not have two equal items".to_owned(),
        Kind::Referencing(_) => "could not be checked: a reference leads nowhere".to_owned(),
    }
}

fn many<N: fmt::Display + PartialEq + From<u8>>(count: &N, one: &str, several: &str) -> String {
    format!("{count} {}", if *count == N::from(1) { one } else { several })
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => type_name(*kind).to_owned(),
        TypeKind::Multiple(kinds) => {
            let names: Vec<&str> = kinds.iter().map(type_name).collect();
            names.join(" or ")
        }
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "a boolean",
        JsonType::Number => "a number",
        JsonType::Integer => "an integer",
        JsonType::String => "a string",
        JsonType::Array => "an array",
        JsonType::Object => "an object",
    }
}

fn options_of(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut list: Vec<String> = options.iter().take(LISTED).map(shown).collect();
    if options.len() > LISTED {
        list.push(format!("{} more", options.len() - LISTED));
    }
    list.join(", ")
}

fn names(one: &str, several: &str, names: &[String]) -> String {
    let mut list = if names.len() == 1 { one } else { several }.to_owned();
    for (at, name) in names.iter().take(LISTED).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(list, "{comma} {}", text(name)).expect("a String takes any text");
    }
    if names.len() > LISTED {
        write!(list, " and {} more", names.len() - LISTED).expect("a String takes any text");
    }
    list
}

/// A value of the schema, shortened.
fn shown(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        value => shortened(&value.to_string()),
    }
}

/// A text in quotes, shortened.
pub(super) fn text(text: &str) -> String {
    format!("`{}`", shortened(text))
}

/// The beginning of a text.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::schema::metered::{Budget, Metered, MeteredJson};

    fn lines(violation: &Violation, indent: &str, out: &mut String) {
        let Violation { place, rule, source, message, closest } = violation;
        let Place::Body(pointer) = place else { panic!("a body was checked") };
        writeln!(out, "{indent}{:?} {message} [{rule} {source}]", pointer.as_str()).unwrap();
        closest.iter().for_each(|inner| lines(inner, &format!("{indent}  "), out));
    }

    #[track_caller]
    fn check(schema: Value, body: Value, expected: Expect) {
        let options = jsonschema::options_for::<MeteredJson>().should_validate_formats(true);
        let validator = options.build(&schema).unwrap();
        let budget = Budget::new(u64::MAX, u64::MAX);
        let source = |error: &ValidationError<'_>| error.schema_path().as_str().to_owned();
        let mut out = String::new();
        for error in validator.iter_errors(Metered::new(&body, &budget)) {
            lines(&Violation::from_error(&error, &body, &source), "", &mut out);
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn numbers_and_texts() {
        check(
            json!({"type": "integer"}),
            json!(1.5),
            expect![[r#"
                "" must be an integer, not a number [type /type]
            "#]],
        );
        check(
            json!({"type": ["integer", "null"]}),
            json!("a"),
            expect![[r#"
                "" must be null or an integer, not a string [type /type]
            "#]],
        );
        check(
            json!({"minimum": 2, "exclusiveMinimum": 1}),
            json!(1),
            expect![[r#"
                "" must not be less than 2 [minimum /minimum]
                "" must be more than 1 [exclusiveMinimum /exclusiveMinimum]
            "#]],
        );
        check(
            json!({"maximum": 2, "exclusiveMaximum": 3}),
            json!(3),
            expect![[r#"
                "" must not be more than 2 [maximum /maximum]
                "" must be less than 3 [exclusiveMaximum /exclusiveMaximum]
            "#]],
        );
        check(
            json!({"multipleOf": 0.5}),
            json!(0.7),
            expect![[r#"
                "" must be a multiple of 0.5 [multipleOf /multipleOf]
            "#]],
        );
        check(
            json!({"minLength": 3, "pattern": "^b"}),
            json!("a"),
            expect![[r#"
                "" must have 3 characters at least [minLength /minLength]
                "" must match the pattern `^b` [pattern /pattern]
            "#]],
        );
        check(
            json!({"maxLength": 1, "format": "date"}),
            json!("secret"),
            expect![[r#"
                "" must not have more than 1 character [maxLength /maxLength]
                "" must have the format `date` [format /format]
            "#]],
        );
        check(
            json!({"enum": ["a", 1, null]}),
            json!("secret"),
            expect![[r#"
                "" must be one of `a`, 1, null [enum /enum]
            "#]],
        );
        check(
            json!({"enum": (0..20).collect::<Vec<_>>()}),
            json!("secret"),
            expect![[r#"
                "" must be one of 0, 1, 2, 3, 4, 5, 6, 7, 12 more [enum /enum]
            "#]],
        );
        check(
            json!({"const": {"a": "x".repeat(99)}}),
            json!("secret"),
            expect![[r#"
                "" must be {"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… [const /const]
            "#]],
        );
    }

    #[test]
    fn arrays() {
        check(
            json!({"minItems": 2, "items": {"type": "string"}}),
            json!([1]),
            expect![[r#"
                "" must have 2 items at least [minItems /minItems]
                "/0" must be a string, not an integer [type /items/type]
            "#]],
        );
        check(
            json!({"maxItems": 1, "uniqueItems": true}),
            json!([1, 1]),
            expect![[r#"
                "" must not have more than 1 item [maxItems /maxItems]
                "" must not have two equal items [uniqueItems /uniqueItems]
            "#]],
        );
        check(
            json!({"contains": {"const": 1}}),
            json!([2]),
            expect![[r#"
                "" must have an item, or as many, as `contains` asks for [contains /contains]
            "#]],
        );
        check(
            json!({"prefixItems": [true], "unevaluatedItems": false}),
            json!([1, "secret", 3]),
            expect![[r#"
                "" must not have 2 items of those it has [unevaluatedItems /unevaluatedItems]
            "#]],
        );
    }

    #[test]
    fn objects() {
        check(
            json!({"required": ["a", "b"]}),
            json!({}),
            expect![[r#"
                "" must have the property `a` [required /required]
                "" must have the property `b` [required /required]
            "#]],
        );
        check(
            json!({"minProperties": 1}),
            json!({}),
            expect![[r#"
                "" must have 1 property at least [minProperties /minProperties]
            "#]],
        );
        check(
            json!({"maxProperties": 0}),
            json!({"a": 1}),
            expect![[r#"
                "" must not have more than 0 properties [maxProperties /maxProperties]
            "#]],
        );
        check(
            json!({"additionalProperties": false}),
            json!({"a": 1}),
            expect![[r#"
                "" must not have properties [additionalProperties /additionalProperties]
            "#]],
        );
        check(
            json!({"additionalProperties": false}),
            Value::Object((0..20).map(|key| (format!("{key:02}"), json!(0))).collect()),
            expect![[r#"
                "" must not have properties [additionalProperties /additionalProperties]
            "#]],
        );
        check(
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"ab": 1}),
            expect![[r#"
                "" must not have a property `ab`: the name must not have more than 1 character [propertyNames /propertyNames/maxLength]
            "#]],
        );
        check(
            json!({"propertyNames": {"maxLength": 9}}),
            json!({"x".repeat(99): 1}),
            expect![[r#"
                "" must not have a property of such length: the name must not have more than 9 characters [propertyNames /propertyNames/maxLength]
            "#]],
        );
        check(
            json!({"properties": {"a/b": false}}),
            json!({"a/b": "secret"}),
            expect![[r#"
                "/a~1b" must not be there [falseSchema /properties/a~1b]
            "#]],
        );
        check(
            json!({"unevaluatedProperties": false}),
            json!({"x".repeat(99): 1}),
            expect![[r#"
                "" must not have the property `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` [unevaluatedProperties /unevaluatedProperties]
            "#]],
        );
    }

    #[test]
    fn alternatives_tell_of_the_closest() {
        let cat = json!({
            "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
            "required": ["kind", "lives"],
        });
        let dog = json!({"properties": {"kind": {"const": "dog"}}, "required": ["kind"]});
        let of = |keyword: &str| json!({ keyword: [dog, cat, {"type": "string"}] });
        check(
            of("oneOf"),
            json!({"kind": "cat", "lives": "secret"}),
            expect![[r#"
                "" must be valid under one of the alternatives [oneOf /oneOf]
                  "/lives" must be an integer, not a string [type /oneOf/1/properties/lives/type]
            "#]],
        );
        check(
            of("oneOf"),
            json!({"kind": "cat"}),
            expect![[r#"
                "" must be valid under one of the alternatives [oneOf /oneOf]
                  "" must have the property `lives` [required /oneOf/1/required]
            "#]],
        );
        check(
            of("oneOf"),
            json!(1),
            expect![[r#"
                "" must be valid under one alternative only, and is under several [oneOf /oneOf]
            "#]],
        );
        check(
            of("anyOf"),
            json!({"kind": "bird"}),
            expect![[r#"
                "" must be valid under one of the alternatives at least [anyOf /anyOf]
                  "/kind" must be `dog` [const /anyOf/0/properties/kind/const]
            "#]],
        );
        check(
            json!({"oneOf": [true, {"type": "string"}]}),
            json!("a"),
            expect![[r#"
                "" must be valid under one alternative only, and is under several [oneOf /oneOf]
            "#]],
        );
        check(
            json!({"not": {"type": "string"}}),
            json!("secret"),
            expect![[r#"
                "" must not be valid under the schema in `not` [not /not]
            "#]],
        );
        let deep = (0..5).fold(json!(false), |inner, _| json!({"anyOf": [inner]}));
        check(
            deep,
            json!(1),
            expect![[r#"
                "" must be valid under one of the alternatives at least [anyOf /anyOf]
                  "" must be valid under one of the alternatives at least [anyOf /anyOf/0/anyOf]
                    "" must be valid under one of the alternatives at least [anyOf /anyOf/0/anyOf/0/anyOf]
            "#]],
        );
    }
}
