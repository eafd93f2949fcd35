//! How a parameter's value is written in a path, a query, a field or a cookie, and how it is read back.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value};

use crate::schema::guard::is_number;

/// How a value is written (OpenAPI 3.0.4 and 3.1.1, "Style Values").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

/// What a schema says of a value's type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// The types of the value itself.
    pub(super) types: Types,
    /// The types of its items, if it is an array.
    pub(super) items: Types,
    /// The types of its properties, if it is an object; an array's are those of its items.
    pub(super) properties: BTreeMap<String, Shape>,
    /// The types of all other properties.
    pub(super) others: Types,
}

/// A set of types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const NUMBER: Self = Self(4);
    pub(super) const STRING: Self = Self(8);
    pub(super) const ARRAY: Self = Self(16);
    pub(super) const OBJECT: Self = Self(32);

    /// The type of this name; integers are numbers.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" | "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::default(),
        }
    }

    /// The type of a value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// An escape is cut, or what it says is not UTF-8.
    Encoding,
    /// The value is there more than once.
    Twice,
    /// It does not begin as its style asks.
    Prefix(&'static str),
    /// Names and values of properties do not pair up.
    Pairs,
    /// A property is there more than once.
    PropertyTwice(String),
    /// A property that is nested deeper than the style can say.
    Nested(String),
}

/// How texts become values: as the schema's types say, or as texts throughout.
///
/// Where a schema takes both, the one that fits is the one that counts: both are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Typed,
    Texts,
}

/// A parameter as a schema wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) style: Style,
    pub(super) explode: bool,
    pub(super) shape: Shape,
}

/// Parts of a query, of a form, or of cookies: names, and values as they were written.
pub(super) type Pairs<'p> = [(Cow<'p, str>, &'p str)];

/// The parts of `text`; the error is a name that cannot be decoded.
pub(super) fn pairs(
    text: &str,
    separator: char,
    coding: Coding,
) -> Result<Vec<(Cow<'_, str>, &str)>, &str> {
    let parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
    let decoded = parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Ok((coding.decode(name).map_err(|_| name)?, value))
    });
    decoded.collect()
}

impl Wanted {
    /// Reads the value from a path's segment or from a field. There is one.
    pub(super) fn read_text(
        &self,
        text: &str,
        coding: Coding,
        reading: Reading,
    ) -> Result<Value, Unreadable> {
        let strip =
            |prefix: &'static str| text.strip_prefix(prefix).ok_or(Unreadable::Prefix(prefix));
        match self.style {
            Style::Label => {
                let separator = if self.explode { "." } else { "," };
                self.list(strip(".")?, separator, coding, reading)
            }
            Style::Matrix => self.matrix(strip(";")?, coding, reading),
            _ => self.list(text, ",", coding, reading),
        }
    }

    /// Reads the value from parts by name; `used` learns which parts it is made of.
    pub(super) fn read_pairs(
        &self,
        pairs: &Pairs<'_>,
        coding: Coding,
        reading: Reading,
        used: &mut BTreeSet<usize>,
    ) -> Result<Option<Value>, Unreadable> {
        if self.style == Style::DeepObject {
            return self.deep_object(pairs, coding, reading, used);
        }
        if self.explode && self.is_object() && !self.takes_text() {
            return self.exploded_object(pairs, coding, reading, used);
        }
        let mut own = Vec::new();
        for (at, (name, value)) in pairs.iter().enumerate() {
            if *name == self.name {
                used.insert(at);
                own.push(*value);
            }
        }
        match (own.as_slice(), self.explode && self.is_array()) {
            ([], _) => Ok(None),
            (own, true) => {
                let item = |text: &&str| Ok(leaf(coding.decode(text)?, self.shape.items, reading));
                Ok(Some(Value::Array(own.iter().map(item).collect::<Result<_, _>>()?)))
            }
            ([one], false) => self.list(one, self.separator(), coding, reading).map(Some),
            _ => Err(Unreadable::Twice),
        }
    }

    fn is_array(&self) -> bool {
        self.shape.types.has(Types::ARRAY)
    }

    fn is_object(&self) -> bool {
        self.shape.types.has(Types::OBJECT)
    }

    fn takes_text(&self) -> bool {
        self.shape.types.has(Types::STRING.with(Types::NUMBER).with(Types::BOOLEAN))
    }

    fn separator(&self) -> &'static str {
        match self.style {
            Style::SpaceDelimited => " ",
            Style::PipeDelimited => "|",
            _ => ",",
        }
    }

    /// Reads an array's items or an object's members out of one text, or the text as it is.
    fn list(
        &self,
        text: &str,
        separator: &str,
        coding: Coding,
        reading: Reading,
    ) -> Result<Value, Unreadable> {
        if !self.is_array() && !self.is_object() {
            return Ok(leaf(coding.decode(text)?, self.shape.types, reading));
        }
        let parts = if text.is_empty() { Vec::new() } else { split(text, separator, coding) };
        if self.is_array() {
            let item = |part: &&str| Ok(leaf(coding.decode(part)?, self.shape.items, reading));
            return Ok(Value::Array(parts.iter().map(item).collect::<Result<_, _>>()?));
        }
        let mut object = Map::new();
        if self.explode {
            for part in parts {
                let (name, value) = part.split_once('=').ok_or(Unreadable::Pairs)?;
                self.put(&mut object, coding.decode(name)?, value, coding, reading)?;
            }
        } else {
            for pair in parts.chunks(2) {
                let [name, value] = pair else { return Err(Unreadable::Pairs) };
                self.put(&mut object, coding.decode(name)?, value, coding, reading)?;
            }
        }
        Ok(Value::Object(object))
    }

    /// `name=value`, or `name=value;name=value` of an array or of an object's members (RFC 6570 §3.2.7).
    fn matrix(&self, text: &str, coding: Coding, reading: Reading) -> Result<Value, Unreadable> {
        let pairs = pairs(text, ';', coding).map_err(|_| Unreadable::Encoding)?;
        let form = Self { style: Style::Form, ..self.clone() };
        let value = form.read_pairs(&pairs, coding, reading, &mut BTreeSet::new())?;
        value.ok_or(Unreadable::Prefix(";"))
    }

    /// Members are parts of their own; those are taken that the schema names.
    fn exploded_object(
        &self,
        pairs: &Pairs<'_>,
        coding: Coding,
        reading: Reading,
        used: &mut BTreeSet<usize>,
    ) -> Result<Option<Value>, Unreadable> {
        let mut object = Map::new();
        for (at, (name, value)) in pairs.iter().enumerate() {
            if self.shape.properties.contains_key(name.as_ref()) {
                used.insert(at);
                self.put(&mut object, name.clone(), value, coding, reading)?;
            }
        }
        Ok((!object.is_empty()).then_some(Value::Object(object)))
    }

    /// `name[member]=value`.
    fn deep_object(
        &self,
        pairs: &Pairs<'_>,
        coding: Coding,
        reading: Reading,
        used: &mut BTreeSet<usize>,
    ) -> Result<Option<Value>, Unreadable> {
        let mut object = Map::new();
        for (at, (name, value)) in pairs.iter().enumerate() {
            let inner =
                name.strip_prefix(self.name.as_str()).and_then(|rest| rest.strip_prefix('['));
            let Some(inner) = inner else { continue };
            used.insert(at);
            let Some(member) = inner.strip_suffix(']').filter(|inner| !inner.contains(['[', ']']))
            else {
                return Err(Unreadable::Nested(name.clone().into_owned()));
            };
            self.put(&mut object, Cow::Borrowed(member), value, coding, reading)?;
        }
        Ok((!object.is_empty()).then_some(Value::Object(object)))
    }

    /// Adds a member; one that is an array may come again.
    fn put(
        &self,
        object: &mut Map<String, Value>,
        name: Cow<'_, str>,
        value: &str,
        coding: Coding,
        reading: Reading,
    ) -> Result<(), Unreadable> {
        let own = self.shape.properties.get(name.as_ref());
        let value = coding.decode(value)?;
        if let Some(own) = own.filter(|own| own.types.has(Types::ARRAY)) {
            let item = leaf(value, own.items, reading);
            let items = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            items.as_array_mut().expect("only arrays are put under this name").push(item);
            return Ok(());
        }
        let types = own.map_or(self.shape.others, |own| own.types);
        let value = leaf(value, types, reading);
        match object.insert(name.clone().into_owned(), value) {
            None => Ok(()),
            Some(_) => Err(Unreadable::PropertyTwice(name.into_owned())),
        }
    }
}

/// Splits at `separator`; where texts are percent-encoded, so may the separator be, if it is one that
/// cannot stand for itself.
fn split<'t>(text: &'t str, separator: &str, coding: Coding) -> Vec<&'t str> {
    let forms: &[&str] = match (separator, coding) {
        (" ", Coding::Form) => &["%20", "+", " "],
        ("|", Coding::Form) => &["%7C", "%7c", "|"],
        (_, Coding::Plain) => return text.split(separator).map(str::trim).collect(),
        _ => return text.split(separator).collect(),
    };
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let next = forms.iter().filter_map(|form| Some((rest.find(form)?, form.len()))).min();
        let Some((at, length)) = next else { break };
        parts.push(&rest[..at]);
        rest = &rest[at + length..];
    }
    parts.push(rest);
    parts
}

/// A text as a value of one of `types`.
fn leaf(text: Cow<'_, str>, types: Types, reading: Reading) -> Value {
    if reading == Reading::Typed {
        if types.has(Types::NUMBER) && is_number(text.as_bytes()) {
            // A number beyond all doubles stays a text, which no number's schema takes.
            if let Ok(number) = text.parse::<Number>() {
                return Value::Number(number);
            }
        }
        match text.as_ref() {
            "true" if types.has(Types::BOOLEAN) => return Value::Bool(true),
            "false" if types.has(Types::BOOLEAN) => return Value::Bool(false),
            "" | "null" if types.has(Types::NULL) => return Value::Null,
            _ => {}
        }
    }
    Value::String(text.into_owned())
}

/// How texts are encoded where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are: fields, cookies.
    Plain,
    /// Percent-encoded: paths.
    Percent,
    /// Percent-encoded, and a space may be a plus: queries and forms.
    Form,
}

impl Coding {
    pub(super) fn decode(self, text: &str) -> Result<Cow<'_, str>, Unreadable> {
        let text = match self {
            Self::Plain => return Ok(Cow::Borrowed(text)),
            Self::Form if text.contains('+') => Cow::Owned(text.replace('+', " ")),
            Self::Form | Self::Percent => Cow::Borrowed(text),
        };
        if !text.contains('%') {
            return Ok(text);
        }
        let is_escape = |after: &str| {
            after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        if !text.split('%').skip(1).all(is_escape) {
            return Err(Unreadable::Encoding);
        }
        let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| Unreadable::Encoding)?;
        Ok(Cow::Owned(decoded.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const COLOR: [&str; 3] = ["blue", "black", "brown"];

    fn shape(types: Types) -> Shape {
        let numbers = Shape { types: Types::NUMBER, ..Shape::default() };
        let list = Shape { types: Types::ARRAY, items: Types::NUMBER, ..Shape::default() };
        Shape {
            types,
            items: Types::STRING,
            properties: ["R", "G", "B"]
                .map(|name| (name.to_owned(), numbers.clone()))
                .into_iter()
                .chain([("L".to_owned(), list)])
                .collect(),
            others: Types::STRING,
        }
    }

    fn wanted(style: Style, explode: bool, types: Types) -> Wanted {
        Wanted { name: "color".to_owned(), style, explode, shape: shape(types) }
    }

    #[track_caller]
    fn check_text(style: Style, explode: bool, types: Types, text: &str, expected: Value) {
        let read = wanted(style, explode, types).read_text(text, Coding::Percent, Reading::Typed);
        assert_eq!(read, Ok(expected), "{text}");
    }

    #[test]
    fn the_table_of_the_specification_paths() {
        let rgb = json!({"R": 100, "G": 200, "B": 150});
        for explode in [false, true] {
            check_text(Style::Simple, explode, Types::STRING, "blue", json!("blue"));
            check_text(Style::Simple, explode, Types::ARRAY, "blue,black,brown", json!(COLOR));
            check_text(Style::Label, explode, Types::STRING, ".blue", json!("blue"));
            check_text(Style::Matrix, explode, Types::STRING, ";color=blue", json!("blue"));
            check_text(Style::Matrix, explode, Types::STRING, ";color", json!(""));
        }
        check_text(Style::Simple, false, Types::OBJECT, "R,100,G,200,B,150", rgb.clone());
        check_text(Style::Simple, true, Types::OBJECT, "R=100,G=200,B=150", rgb.clone());
        check_text(Style::Label, false, Types::ARRAY, ".blue,black,brown", json!(COLOR));
        check_text(Style::Label, true, Types::ARRAY, ".blue.black.brown", json!(COLOR));
        check_text(Style::Label, false, Types::OBJECT, ".R,100,G,200,B,150", rgb.clone());
        check_text(Style::Label, true, Types::OBJECT, ".R=100.G=200.B=150", rgb.clone());
        check_text(Style::Matrix, false, Types::ARRAY, ";color=blue,black,brown", json!(COLOR));
        check_text(
            Style::Matrix,
            true,
            Types::ARRAY,
            ";color=blue;color=black;color=brown",
            json!(COLOR),
        );
        check_text(Style::Matrix, false, Types::OBJECT, ";color=R,100,G,200,B,150", rgb.clone());
        check_text(Style::Matrix, true, Types::OBJECT, ";R=100;G=200;B=150", rgb);
    }

    fn read(
        style: Style,
        explode: bool,
        types: Types,
        query: &str,
    ) -> Result<Option<Value>, Unreadable> {
        let wanted = wanted(style, explode, types);
        let pairs = pairs(query, '&', Coding::Form).map_err(|_| Unreadable::Encoding)?;
        wanted.read_pairs(&pairs, Coding::Form, Reading::Typed, &mut BTreeSet::new())
    }

    #[track_caller]
    fn check(style: Style, explode: bool, types: Types, query: &str, expected: Value) {
        assert_eq!(read(style, explode, types, query), Ok(Some(expected)), "{query}");
    }

    #[test]
    fn the_table_of_the_specification_queries() {
        let rgb = json!({"R": 100, "G": 200, "B": 150});
        for explode in [false, true] {
            check(Style::Form, explode, Types::STRING, "color=blue", json!("blue"));
            check(Style::Form, explode, Types::STRING, "color=", json!(""));
        }
        check(Style::Form, false, Types::ARRAY, "color=blue,black,brown", json!(COLOR));
        check(Style::Form, true, Types::ARRAY, "color=blue&color=black&color=brown", json!(COLOR));
        check(Style::Form, false, Types::OBJECT, "color=R,100,G,200,B,150", rgb.clone());
        check(Style::Form, true, Types::OBJECT, "R=100&G=200&B=150", rgb.clone());
        for query in ["color=blue%20black%20brown", "color=blue+black+brown"] {
            check(Style::SpaceDelimited, false, Types::ARRAY, query, json!(COLOR));
        }
        for query in ["color=blue%7Cblack%7cbrown", "color=blue|black|brown"] {
            check(Style::PipeDelimited, false, Types::ARRAY, query, json!(COLOR));
        }
        check(
            Style::SpaceDelimited,
            false,
            Types::OBJECT,
            "color=R%20100%20G%20200%20B%20150",
            rgb.clone(),
        );
        check(
            Style::PipeDelimited,
            false,
            Types::OBJECT,
            "color=R%7C100%7CG%7C200%7CB%7C150",
            rgb.clone(),
        );
        check(
            Style::DeepObject,
            true,
            Types::OBJECT,
            "color[R]=100&color%5BG%5D=200&color[B]=150",
            rgb,
        );
    }

    #[test]
    fn separators_that_are_encoded_are_text() {
        check(Style::Form, false, Types::ARRAY, "color=a%2Cb,c", json!(["a,b", "c"]));
        check_text(Style::Simple, false, Types::ARRAY, "a%2Cb,c", json!(["a,b", "c"]));
        check(Style::Form, true, Types::STRING, "color=a%2Cb+c%2Bd", json!("a,b c+d"));
        check_text(Style::Simple, false, Types::STRING, "a+b", json!("a+b"));
    }

    #[test]
    fn types_are_those_of_the_schema() {
        let number = Types::NUMBER;
        check(Style::Form, true, number, "color=-1.5e3", json!(-1500.0));
        check(Style::Form, true, number, "color=007", json!("007"));
        check(Style::Form, true, number, "color=1e999", json!("1e999"));
        check(Style::Form, true, Types::STRING, "color=1", json!("1"));
        check(Style::Form, true, Types::STRING.with(number), "color=1", json!(1));
        check(Style::Form, true, Types::BOOLEAN, "color=true", json!(true));
        check(Style::Form, true, Types::BOOLEAN, "color=True", json!("True"));
        check(Style::Form, true, number.with(Types::NULL), "color=", json!(null));
        check(
            Style::DeepObject,
            true,
            Types::OBJECT,
            "color[L]=1&color[L]=2&color[x]=3",
            json!(
                {"L": [1, 2], "x": "3"}
            ),
        );
        check(Style::Form, false, Types::ARRAY, "color=", json!([]));
        let texts = wanted(Style::Form, true, number);
        let read = texts.read_pairs(
            &[("color".into(), "1")],
            Coding::Form,
            Reading::Texts,
            &mut BTreeSet::new(),
        );
        assert_eq!(read, Ok(Some(json!("1"))));
    }

    #[test]
    fn what_is_absent_or_unreadable() {
        assert_eq!(read(Style::Form, true, Types::STRING, "other=1"), Ok(None));
        assert_eq!(read(Style::Form, true, Types::OBJECT, "other=1"), Ok(None));
        assert_eq!(read(Style::DeepObject, true, Types::OBJECT, "color=1&colors[R]=1"), Ok(None));
        let fails = |style, explode, types, query| read(style, explode, types, query).unwrap_err();
        assert_eq!(fails(Style::Form, true, Types::STRING, "color=1&color=1"), Unreadable::Twice);
        assert_eq!(fails(Style::Form, false, Types::ARRAY, "color=1&color=1"), Unreadable::Twice);
        assert_eq!(fails(Style::Form, true, Types::STRING, "color=%zz"), Unreadable::Encoding);
        assert_eq!(fails(Style::Form, true, Types::STRING, "color=%f"), Unreadable::Encoding);
        assert_eq!(fails(Style::Form, true, Types::STRING, "color=%ff"), Unreadable::Encoding);
        assert_eq!(fails(Style::Form, true, Types::STRING, "%ff=1"), Unreadable::Encoding);
        assert_eq!(fails(Style::Form, false, Types::OBJECT, "color=R,1,G"), Unreadable::Pairs);
        assert_eq!(
            fails(Style::Form, false, Types::OBJECT, "color=R,1,R,2"),
            Unreadable::PropertyTwice("R".to_owned())
        );
        assert_eq!(
            fails(Style::DeepObject, true, Types::OBJECT, "color[R][x]=1"),
            Unreadable::Nested("color[R][x]".to_owned())
        );
        let label = wanted(Style::Label, false, Types::STRING);
        let read = label.read_text("blue", Coding::Percent, Reading::Typed);
        assert_eq!(read, Err(Unreadable::Prefix(".")));
        let matrix = wanted(Style::Matrix, false, Types::STRING);
        let read = matrix.read_text(";size=1", Coding::Percent, Reading::Typed);
        assert_eq!(read, Err(Unreadable::Prefix(";")));
    }

    fn encode(text: &str) -> String {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    }

    proptest! {
        #[test]
        fn lists_come_back(items in prop::collection::vec(any::<String>(), 1..5), style in 0..5_usize) {
            prop_assume!(items != [String::new()]);
            let encoded: Vec<String> = items.iter().map(|item| encode(item)).collect();
            let (style, explode, separator) = [
                (Style::Form, false, ","), (Style::Form, true, "&color="),
                (Style::Simple, false, ","), (Style::PipeDelimited, false, "|"), (Style::Label, true, "."),
            ][style];
            prop_assume!(style != Style::PipeDelimited || items.iter().all(|item| !item.contains('|')));
            let text = encoded.join(separator);
            let read = match style {
                Style::Form | Style::PipeDelimited => {
                    read(style, explode, Types::ARRAY, &format!("color={text}")).map(Option::unwrap)
                }
                Style::Label => wanted(style, explode, Types::ARRAY)
                    .read_text(&format!(".{text}"), Coding::Percent, Reading::Typed),
                _ => wanted(style, explode, Types::ARRAY).read_text(&text, Coding::Percent, Reading::Typed),
            };
            prop_assert_eq!(read, Ok(json!(items)));
        }

        #[test]
        fn any_query_is_read_or_refused(query in "[a-c=&%0-9\\[\\]+,|;.RGB-]{0,40}", style in 0..4_usize) {
            let style = [Style::Form, Style::DeepObject, Style::SpaceDelimited, Style::PipeDelimited][style];
            for types in [Types::STRING, Types::ARRAY, Types::OBJECT] {
                for explode in [false, true] {
                    let _ = read(style, explode, types, &query);
                    let _ = wanted(Style::Matrix, explode, types)
                        .read_text(&query, Coding::Percent, Reading::Typed);
                }
            }
        }
    }
}
