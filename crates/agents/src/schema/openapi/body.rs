//! Bodies by media type.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    parameter::describe,
    schemas::{Desk, Schemas},
    style::{self, Coding, Reading, Shape, Style, Types, Unreadable, Wanted},
};
use crate::schema::{
    body::{Fault, Judgement, Look},
    checker::{Checker, Finding},
    document::Part,
    guard,
    media::{Kind, MediaRange, MediaType},
    violation,
};

/// The media types of a message, each with its schema.
#[derive(Debug, Default)]
pub(super) struct Content {
    media: Vec<Media>,
}

#[derive(Debug)]
struct Media {
    range: MediaRange,
    schema: Option<usize>,
    form: Form,
}

/// How a form's fields become an object.
#[derive(Debug, Default)]
struct Form {
    fields: Vec<Field>,
    /// The types of fields that the schema does not name.
    others: Types,
}

#[derive(Debug)]
struct Field {
    wanted: Wanted,
    is_json: bool,
}

impl Content {
    /// Reads the map of media types.
    pub(super) fn read(content: &Part, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Self {
        let mut media = Vec::new();
        for (name, part) in content.members() {
            match MediaRange::parse(&name) {
                Some(range) => media.push(Media::read(&part, range, schemas, desk)),
                None => desk.report.fault(&part.place, "is not a media type or a range of them"),
            }
        }
        Self { media }
    }

    /// Whether nothing is said about bodies.
    pub(super) fn is_empty(&self) -> bool {
        self.media.is_empty()
    }

    /// What is said about bodies of this type; the closest range counts.
    fn find(&self, media: &MediaType) -> Option<&Media> {
        let fit = |own: &&Media| own.range.matches(media);
        // Of equals the first.
        self.media.iter().rev().filter(|own| fit(own).is_some()).max_by_key(fit)
    }

    /// Whether bodies of this type are described.
    pub(super) fn takes(&self, media: &MediaType) -> bool {
        self.find(media).is_some()
    }

    /// Whether a body of this type has to be seen.
    pub(super) fn looks_into(&self, media: &MediaType) -> bool {
        // What is JSON passes the gate, whether a schema is there or not.
        let has_schema = || self.find(media).is_some_and(|own| own.schema.is_some());
        match media.kind() {
            Kind::Json => self.takes(media),
            Kind::Form | Kind::Text => has_schema(),
            Kind::Opaque => false,
        }
    }

    /// The types described, for an `Accept`.
    pub(super) fn accepted(&self) -> String {
        let ranges: Vec<&str> = self.media.iter().map(|own| own.range.essence()).collect();
        ranges.join(", ")
    }

    /// Looks at a body of this type.
    pub(super) fn check(
        &self,
        media: &MediaType,
        body: &[u8],
        checker: &Checker,
        look: Look,
    ) -> Judgement {
        let Some(Media { schema: Some(schema), form, .. }) = self.find(media) else {
            let is_json = media.kind() == Kind::Json;
            return if is_json {
                look.json(body).map(|_| Finding::Fits)
            } else {
                Ok(Finding::Fits)
            };
        };
        let check = |value| checker.check_entry(*schema, value, body.len(), look.most);
        match media.kind() {
            Kind::Json => look.json(body).map(check),
            Kind::Text => look.text(body).map(|text| check(Value::from(text))),
            Kind::Form => {
                let text = look.text(body)?;
                let value = |reading| form.value(text, reading, look);
                let typed = check(value(Reading::Typed)?);
                if typed == Finding::Fits {
                    return Ok(typed);
                }
                let fits = check(value(Reading::Texts)?) == Finding::Fits;
                Ok(if fits { Finding::Fits } else { typed })
            }
            Kind::Opaque => Ok(Finding::Fits),
        }
    }
}

impl Media {
    fn read(part: &Part, range: MediaRange, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Self {
        let schema = part.member("schema");
        let demands = schema.as_ref().filter(|schema| {
            schema.value().as_object().is_some_and(|keywords| !keywords.is_empty())
        });
        if let Some(schema) = demands.filter(|_| range.is_exact() && range.kind() == Kind::Opaque) {
            let what =
                format!("is not checked: bodies of type {} are not looked into", range.essence());
            desk.report.note(&schema.place, what);
        }
        let is_form = schema.is_some() && (!range.is_exact() || range.kind() == Kind::Form);
        let form = schema.as_ref().filter(|_| is_form);
        let form = form.map(|schema| Form::read(schema, part, schemas, desk)).unwrap_or_default();
        Self { range, schema: schema.map(|schema| schemas.entry(&schema)), form }
    }
}

impl Form {
    fn read(schema: &Part, media: &Part, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Self {
        let Shape { properties, others, .. } = schemas.shape(schema, desk);
        let encoding = media.member("encoding");
        let fields = properties.into_iter().map(|(name, shape)| {
            let encoding = encoding.as_ref().and_then(|all| all.member(&name));
            Field::read(name, shape, encoding.as_ref(), desk)
        });
        Self { fields: fields.collect(), others }
    }

    /// A form as an object: fields that the schema names as it says, others as texts.
    fn value(&self, text: &str, reading: Reading, look: Look) -> Result<Value, Fault> {
        let pairs = style::pairs(text, '&', Coding::Form);
        let pairs = pairs.map_err(|name| in_field(name, &Unreadable::Encoding))?;
        if pairs.len() > look.limits.keys {
            return Err(Fault::Form(format!("has more than {} fields", look.limits.keys)));
        }
        let mut used = BTreeSet::new();
        let mut object = Map::new();
        for Field { wanted, is_json } in &self.fields {
            let value = wanted.read_pairs(&pairs, Coding::Form, reading, &mut used);
            let value = value.map_err(|unreadable| in_field(&wanted.name, &unreadable))?;
            let value = match value {
                Some(Value::String(text)) if *is_json => Some(in_json(&wanted.name, &text, look)?),
                value => value,
            };
            object.extend(value.map(|value| (wanted.name.clone(), value)));
        }
        for (at, (name, value)) in pairs.iter().enumerate() {
            if !used.contains(&at) {
                self.other(name, value, reading, &mut object)?;
            }
        }
        Ok(Value::Object(object))
    }

    fn other(
        &self,
        name: &str,
        value: &str,
        reading: Reading,
        object: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let decoded =
            Coding::Form.decode(name).map_err(|unreadable| in_field(name, &unreadable))?;
        let shape = Shape { types: self.others, ..Shape::default() };
        let (name, style) = (decoded.into_owned(), Style::Form);
        let wanted = Wanted { name, style, explode: false, shape };
        let read = wanted.read_text(value, Coding::Form, reading);
        let value = read.map_err(|unreadable| in_field(&wanted.name, &unreadable))?;
        if object.contains_key(&wanted.name) {
            return Err(in_field(&wanted.name, &Unreadable::Twice));
        }
        object.insert(wanted.name, value);
        Ok(())
    }
}

impl Field {
    fn read(name: String, shape: Shape, encoding: Option<&Part>, desk: &mut Desk<'_>) -> Self {
        let text = |member: &str| encoding.and_then(|encoding| encoding.text(member));
        let style = match text("style") {
            None | Some("form") => Style::Form,
            Some("spaceDelimited") => Style::SpaceDelimited,
            Some("pipeDelimited") => Style::PipeDelimited,
            Some("deepObject") => Style::DeepObject,
            Some(_) => {
                if let Some(encoding) = encoding {
                    desk.report.fault(&encoding.place.join("style"), "is no style of form fields");
                }
                Style::Form
            }
        };
        let explode = encoding.and_then(|encoding| encoding.flag("explode"));
        let is_styled = text("style").is_some() || explode.is_some();
        let is_json = match text("contentType") {
            _ if is_styled => false,
            Some(media) => MediaRange::parse(media).is_some_and(|range| range.kind() == Kind::Json),
            // OpenAPI 3.1.1, "Encoding Object": objects are JSON unless a style is given.
            None => shape.types.has(Types::OBJECT),
        };
        let shape =
            if is_json { Shape { types: Types::STRING, ..Shape::default() } } else { shape };
        let explode = explode.unwrap_or(style == Style::Form);
        Self { wanted: Wanted { name, style, explode, shape }, is_json }
    }
}

fn in_json(name: &str, text: &str, look: Look) -> Result<Value, Fault> {
    look.json(text.as_bytes()).map_err(|fault| match fault {
        Fault::Json(guard::Refusal { flaw, .. }) => {
            Fault::Form(format!("has a field {} that {flaw}", violation::text(name)))
        }
        fault => fault,
    })
}

fn in_field(name: &str, unreadable: &Unreadable) -> Fault {
    Fault::Form(format!("has a field {} that {}", violation::text(name), describe(unreadable)))
}
