//! Parameters of paths, queries, fields and cookies.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::Value;

use super::{
    schemas::{Desk, Schemas},
    style::{Coding, Pairs, Reading, Shape, Style, Types, Unreadable, Wanted},
};
use crate::schema::{
    body::{Fault, Look},
    checker::{Checker, Finding, Violations},
    document::Part,
    media::{Kind, MediaRange},
    pointer::Pointer,
    violation::{Place, Violation, text},
};

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Path,
    Query,
    Header,
    Cookie,
}

impl Location {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "path" => Self::Path,
            "query" => Self::Query,
            "header" => Self::Header,
            "cookie" => Self::Cookie,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }

    fn coding(self) -> Coding {
        match self {
            Self::Path => Coding::Percent,
            Self::Query => Coding::Form,
            Self::Header | Self::Cookie => Coding::Plain,
        }
    }

    /// The style of this name, if parameters here can have it; the first if they say nothing.
    fn style(self, name: Option<&str>) -> Option<Style> {
        let styles: &[(&str, Style)] = match self {
            Self::Path => {
                &[("simple", Style::Simple), ("label", Style::Label), ("matrix", Style::Matrix)]
            }
            Self::Query => &[
                ("form", Style::Form),
                ("spaceDelimited", Style::SpaceDelimited),
                ("pipeDelimited", Style::PipeDelimited),
                ("deepObject", Style::DeepObject),
            ],
            Self::Header => &[("simple", Style::Simple)],
            Self::Cookie => &[("form", Style::Form)],
        };
        let Some(name) = name else { return Some(styles[0].1) };
        styles.iter().find(|(own, _)| *own == name).map(|(_, style)| *style)
    }
}

/// A parameter made ready.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) location: Location,
    pub(super) wanted: Wanted,
    pub(super) required: bool,
    /// Whether `?name=` stands for the parameter as a whole.
    allow_empty: bool,
    content: Content,
    /// Where it is written.
    source: String,
}

/// How a parameter's value is looked at.
#[derive(Clone, Copy, Debug)]
enum Content {
    /// As its style says, against the schema of this number.
    Styled(usize),
    /// As JSON, against the schema of this number.
    Json(usize),
    /// Not at all.
    Unchecked,
}

/// Values of parameters, as they were written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'g> {
    /// Those of one parameter: a path's segment, or a field's lines.
    Texts(&'g [&'g [u8]]),
    /// Those of all.
    Pairs(&'g Pairs<'g>),
}

/// Fields that parameters do not describe (OpenAPI, "Parameter Object").
const FIELDS_OF_HTTP: [&str; 3] = ["accept", "content-type", "authorization"];

impl Parameter {
    /// Reads a Parameter Object.
    pub(super) fn read(part: &Part, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Option<Self> {
        let (Some(name), Some(location)) = (part.text("name"), part.text("in")) else {
            desk.report.fault(&part.place, "has no `name` or no `in`");
            return None;
        };
        let Some(location) = Location::named(location) else {
            desk.report.fault(&part.place.join("in"), "is none of path, query, header, cookie");
            return None;
        };
        if location == Location::Header && is_of_http(name) {
            let note = "describes a field that OpenAPI leaves to media types and security";
            desk.report.note(&part.place, note);
            return None;
        }
        Self::read_value(part, location, name.to_owned(), schemas, desk)
    }

    /// Reads a Header Object, which is a parameter with its name elsewhere.
    pub(super) fn read_header(
        part: &Part,
        name: &str,
        schemas: &mut Schemas,
        desk: &mut Desk<'_>,
    ) -> Option<Self> {
        if is_of_http(name) {
            return None;
        }
        Self::read_value(part, Location::Header, name.to_owned(), schemas, desk)
    }

    fn read_value(
        part: &Part,
        location: Location,
        name: String,
        schemas: &mut Schemas,
        desk: &mut Desk<'_>,
    ) -> Option<Self> {
        let Some(style) = location.style(part.text("style")) else {
            let what = format!("is no style of {} parameters", location.name());
            desk.report.fault(&part.place.join("style"), what);
            return None;
        };
        let (content, shape) = match (part.member("schema"), part.member("content")) {
            (Some(schema), _) => {
                (Content::Styled(schemas.entry(&schema)), schemas.shape(&schema, desk))
            }
            (None, Some(content)) => (read_content(&content, schemas, desk), Shape::default()),
            (None, None) => {
                desk.report.note(&part.place, "has no schema: any value passes");
                (Content::Unchecked, Shape::default())
            }
        };
        if style == Style::DeepObject && !shape.types.has(Types::OBJECT) {
            desk.report.fault(&part.place.join("style"), "`deepObject` is for objects");
        }
        let explode = part.flag("explode").unwrap_or(style == Style::Form);
        let is_path = location == Location::Path;
        Some(Self {
            location,
            wanted: Wanted { name, style, explode, shape },
            required: is_path || part.flag("required") == Some(true),
            allow_empty: part.flag("allowEmptyValue") == Some(true),
            content,
            source: part.place.to_string(),
        })
    }

    /// Whether `other` is the same parameter, which an operation may describe anew.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let name = self.wanted.name.as_str();
        let is_named = match self.location {
            Location::Header => name.eq_ignore_ascii_case(&other.wanted.name),
            _ => name == other.wanted.name,
        };
        self.location == other.location && is_named
    }

    /// Says what is wrong with the parameter's value.
    pub(super) fn check(&self, given: Given<'_>, checker: &Checker, look: Look) -> Vec<Violation> {
        let mut violations = match self.value(given, Reading::Typed) {
            Ok(None) if self.required => vec![self.violation("required", "is missing".to_owned())],
            Ok(None) => Vec::new(),
            Ok(Some(_)) if self.is_empty_switch(given) => Vec::new(),
            Ok(Some(value)) => self.check_value(value, given, checker, look),
            Err(unreadable) => vec![self.violation("style", describe(&unreadable))],
        };
        let (location, name) = (self.location.name(), self.wanted.name.as_str());
        violations.iter_mut().for_each(|violation| violation.in_parameter(location, name));
        violations
    }

    fn check_value(
        &self,
        value: Value,
        given: Given<'_>,
        checker: &Checker,
        look: Look,
    ) -> Vec<Violation> {
        let bytes = 64 + value.as_str().map_or(0, str::len);
        match self.content {
            Content::Unchecked => Vec::new(),
            Content::Json(number) => {
                let text = value.as_str().unwrap_or_default().as_bytes();
                match look.json(text) {
                    Ok(value) => self.told(checker.check_entry(number, value, bytes, look.most)),
                    Err(Fault::Json(refusal)) => {
                        let mut violation = self.violation("content", refusal.flaw.to_string());
                        violation.place = Place::Body(refusal.pointer);
                        vec![violation]
                    }
                    Err(Fault::NotUtf8 | Fault::Form(_)) => {
                        unreachable!("what JSON is read from is refused as JSON")
                    }
                }
            }
            Content::Styled(number) => {
                let typed = checker.check_entry(number, value.clone(), bytes, look.most);
                if typed == Finding::Fits {
                    return Vec::new();
                }
                let texts = self.value(given, Reading::Texts).ok().flatten();
                let texts = texts.filter(|texts| *texts != value);
                let fits = texts.map(|texts| checker.check_entry(number, texts, bytes, look.most));
                if fits == Some(Finding::Fits) { Vec::new() } else { self.told(typed) }
            }
        }
    }

    /// What of a finding is told; a parameter that has more wrong than is listed has enough.
    fn told(&self, finding: Finding) -> Vec<Violation> {
        match finding {
            Finding::Fits => Vec::new(),
            Finding::Violates(Violations { listed, .. }) => listed,
            Finding::TooCostly => {
                vec![self.violation("schema", "would take too much work to check".to_owned())]
            }
        }
    }

    fn value(&self, given: Given<'_>, reading: Reading) -> Result<Option<Value>, Unreadable> {
        let coding = self.location.coding();
        match given {
            Given::Pairs(pairs) => {
                self.wanted.read_pairs(pairs, coding, reading, &mut BTreeSet::new())
            }
            Given::Texts([]) => Ok(None),
            Given::Texts(texts) => {
                let text = joined(texts)?;
                let is_list = self.wanted.shape.types.has(Types::ARRAY.with(Types::OBJECT));
                if texts.len() > 1 && !is_list {
                    return Err(Unreadable::Twice);
                }
                self.wanted.read_text(&text, coding, reading).map(Some)
            }
        }
    }

    fn is_empty_switch(&self, given: Given<'_>) -> bool {
        let Given::Pairs(pairs) = given else { return false };
        let is_own = |name: &str| name == self.wanted.name;
        self.allow_empty && pairs.iter().any(|(name, value)| value.is_empty() && is_own(name))
    }

    fn violation(&self, rule: &str, message: String) -> Violation {
        Violation {
            place: Place::Body(Pointer::root()),
            rule: rule.to_owned(),
            source: self.source.clone(),
            message,
            closest: Vec::new(),
        }
    }
}

/// Why a value cannot be read, in words.
pub(super) fn describe(unreadable: &Unreadable) -> String {
    match unreadable {
        Unreadable::Encoding => "is not percent-encoded UTF-8".to_owned(),
        Unreadable::Twice => "is there more than once".to_owned(),
        Unreadable::Prefix(prefix) => format!("does not begin with {}", text(prefix)),
        Unreadable::Pairs => "does not have a value for each name".to_owned(),
        Unreadable::PropertyTwice(name) => format!("has {} more than once", text(name)),
        Unreadable::Nested(name) => format!("is nested too deep in {}", text(name)),
    }
}

fn read_content(content: &Part, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Content {
    let [(name, media)] = &content.members()[..] else {
        desk.report.fault(&content.place, "does not have one media type");
        return Content::Unchecked;
    };
    let is_json = MediaRange::parse(name).is_some_and(|range| range.kind() == Kind::Json);
    match media.member("schema") {
        Some(schema) if is_json => Content::Json(schemas.entry(&schema)),
        _ => {
            desk.report.note(&media.place, "is no JSON with a schema: any value passes");
            Content::Unchecked
        }
    }
}

fn is_of_http(field: &str) -> bool {
    FIELDS_OF_HTTP.iter().any(|own| own.eq_ignore_ascii_case(field))
}

/// Lines of a field as one value (RFC 9110 §5.3).
fn joined<'t>(texts: &[&'t [u8]]) -> Result<Cow<'t, str>, Unreadable> {
    let line = |bytes: &&'t [u8]| std::str::from_utf8(bytes).map_err(|_| Unreadable::Encoding);
    match texts {
        [one] => line(one).map(Cow::Borrowed),
        all => {
            let all: Result<Vec<&str>, _> = all.iter().map(line).collect();
            Ok(Cow::Owned(all?.join(",")))
        }
    }
}
