//! Schema Objects as JSON Schema 2020-12.
//!
//! Each schema that something refers to is copied once for requests and once for responses, by number,
//! into one document without references to files, and compiled with all others. A schema of OpenAPI 3.0
//! is not JSON Schema: `nullable` and boolean `exclusiveMinimum` become what they mean. Properties that
//! belong to the other direction are not required, and are marked: the checker does not allow them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jsonschema::Draft;
use serde_json::{Map, Value, json};

use super::{
    Direction, Version,
    report::Report,
    style::{Shape, Types},
};
use crate::schema::document::{Folder, Part, Place};

/// The schemas of one direction.
#[derive(Debug)]
pub(super) struct Schemas {
    direction: Direction,
    version: Version,
    /// Whether `format` is a demand.
    formats: bool,
    numbers: HashMap<Place, usize>,
    copies: Vec<Option<Value>>,
    origins: Vec<Place>,
    /// Those that values are checked against.
    entries: BTreeSet<usize>,
    open: Vec<usize>,
}

/// What is read and written while schemas are copied.
pub(super) struct Desk<'d> {
    pub(super) folder: &'d mut Folder,
    pub(super) report: &'d mut Report,
    /// The description itself.
    pub(super) root: Place,
}

impl Desk<'_> {
    /// Follows references from `part` to something that is none.
    pub(super) fn follow(&mut self, mut part: Part) -> Option<Part> {
        for _ in 0..REFERENCES {
            let Some(reference) = part.text("$ref").map(str::to_owned) else { return Some(part) };
            part = self.resolve(&part.place, &reference)?;
        }
        self.report.fault(&part.place, "is a reference that leads to itself");
        None
    }

    /// Where `reference`, written at `place`, leads.
    pub(super) fn resolve(&mut self, place: &Place, reference: &str) -> Option<Part> {
        match self.folder.resolve(place, reference) {
            Ok(part) => Some(part),
            Err(what) => {
                self.report.fault(&place.join("$ref"), what);
                None
            }
        }
    }
}

/// References that may follow each other.
const REFERENCES: usize = 32;
/// Schemas inside each other that are looked through for properties and types.
const DEPTH: usize = 16;

/// What a keyword holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// A schema.
    Schema,
    /// A list of schemas.
    Schemas,
    /// Schemas by name.
    Named,
    /// A demand that is copied as it is.
    Demand,
    /// Something that demands nothing, or that is dealt with elsewhere.
    Nothing,
    /// Something that would be ignored, which its author cannot want.
    Unsupported(&'static str),
}

impl Version {
    fn holds(self, keyword: &str) -> Option<Holds> {
        let old = self == Self::V3_0;
        Some(match keyword {
            "not" | "items" | "additionalProperties" => Holds::Schema,
            "allOf" | "anyOf" | "oneOf" => Holds::Schemas,
            "properties" => Holds::Named,
            "type" | "format" | "enum" | "required" | "pattern" | "multipleOf" | "minimum"
            | "maximum" | "minLength" | "maxLength" | "minItems" | "maxItems" | "uniqueItems"
            | "minProperties" | "maxProperties" => Holds::Demand,
            "exclusiveMinimum" | "exclusiveMaximum" if old => Holds::Nothing,
            "nullable" if old => Holds::Nothing,
            "nullable" => Holds::Unsupported("is gone in OpenAPI 3.1; write `type: [T, \"null\"]`"),
            "title" | "description" | "default" | "example" | "deprecated" | "readOnly"
            | "writeOnly" | "xml" | "externalDocs" | "discriminator" | "$ref" => Holds::Nothing,
            "examples" | "$comment" | "contentEncoding" | "contentMediaType" | "contentSchema"
            | "$schema" => Holds::Nothing,
            "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties"
                if !old =>
            {
                Holds::Schema
            }
            "prefixItems" if !old => Holds::Schemas,
            "patternProperties" | "dependentSchemas" if !old => Holds::Named,
            "const" | "exclusiveMinimum" | "exclusiveMaximum" | "minContains" | "maxContains"
            | "dependentRequired"
                if !old =>
            {
                Holds::Demand
            }
            "$defs" | "definitions" => Holds::Nothing,
            "$id" | "$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$recursiveRef"
            | "$recursiveAnchor" | "$vocabulary" | "id" => {
                Holds::Unsupported("is not supported in descriptions: refer by file and pointer")
            }
            "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties"
            | "prefixItems"
            | "patternProperties"
            | "dependentSchemas"
            | "const"
            | "minContains"
            | "maxContains"
            | "dependentRequired" => {
                Holds::Unsupported("is not part of OpenAPI 3.0 and would not be checked")
            }
            "additionalItems" | "dependencies" => {
                Holds::Unsupported("is of an older JSON Schema and would not be checked")
            }
            _ => return None,
        })
    }
}

impl Schemas {
    pub(super) fn new(direction: Direction, version: Version, formats: bool) -> Self {
        Self {
            direction,
            version,
            formats,
            numbers: HashMap::new(),
            copies: Vec::new(),
            origins: Vec::new(),
            entries: BTreeSet::new(),
            open: Vec::new(),
        }
    }

    /// The number of the schema at `part`, against which values will be checked.
    pub(super) fn entry(&mut self, part: &Part) -> usize {
        let number = self.number(part);
        self.entries.insert(number);
        number
    }

    fn number(&mut self, part: &Part) -> usize {
        if let Some(number) = self.numbers.get(&part.place) {
            return *number;
        }
        let number = self.origins.len();
        self.numbers.insert(part.place.clone(), number);
        self.origins.push(part.place.clone());
        self.copies.push(None);
        self.open.push(number);
        number
    }

    /// Copies everything that was referred to. Returns one schema for objects of one member, whose name is
    /// the number of the schema that its value is checked against, and where each copy is from.
    pub(super) fn finish(mut self, desk: &mut Desk<'_>) -> (Value, Vec<Place>) {
        while let Some(number) = self.open.pop() {
            let place = self.origins[number].clone();
            if let Some(part) = desk.folder.get(&place) {
                self.copies[number] = Some(self.copy(&part, desk, &BTreeSet::new()));
            }
        }
        let member = |number: &usize| (number.to_string(), json!({"$ref": reference(*number)}));
        let members: Map<_, _> = self.entries.iter().map(member).collect();
        let copies = self.copies.into_iter().enumerate();
        let copies = copies.map(|(number, copy)| (number.to_string(), copy.unwrap_or(json!(true))));
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": members,
            "$defs": copies.collect::<Map<_, _>>(),
        });
        (schema, self.origins)
    }

    /// Copies the schema at `part`. `hidden` are properties that belong to the other direction, as schemas
    /// around this one say.
    fn copy(&mut self, part: &Part, desk: &mut Desk<'_>, hidden: &BTreeSet<String>) -> Value {
        let schema = match part.value() {
            Value::Bool(_) if self.version == Version::V3_1 => return part.value().clone(),
            Value::Object(schema) => schema,
            _ => {
                desk.report.fault(&part.place, "is not a schema");
                return json!(true);
            }
        };
        let mut out = Map::new();
        if let Some(reference) = schema.get("$ref") {
            let target = reference.as_str().and_then(|text| desk.resolve(&part.place, text));
            if let Some(target) = target {
                out.insert("$ref".to_owned(), json!(self::reference(self.number(&target))));
            }
            if self.version == Version::V3_0 {
                note_siblings(part, schema, desk);
                return Value::Object(out);
            }
        }
        let mut hidden = hidden.clone();
        hidden.extend(self.hidden_properties(part, desk, DEPTH));
        for keyword in schema.keys() {
            let member = part.member(keyword).expect("it is a keyword of this schema");
            self.keyword(keyword, &member, desk, &hidden, &mut out);
        }
        self.numbers_and_null(part, schema, desk, &mut out);
        self.hide(&hidden, &mut out);
        self.discriminate(part, desk, &mut out);
        Value::Object(out)
    }

    fn keyword(
        &mut self,
        keyword: &str,
        member: &Part,
        desk: &mut Desk<'_>,
        hidden: &BTreeSet<String>,
        out: &mut Map<String, Value>,
    ) {
        let none = BTreeSet::new();
        let copied = match self.version.holds(keyword) {
            Some(Holds::Nothing) => return self.annotation(keyword, member, desk),
            Some(Holds::Demand) => {
                self.demand(keyword, member, desk);
                member.value().clone()
            }
            Some(Holds::Schema)
                if keyword == "additionalProperties" && member.value().is_boolean() =>
            {
                member.value().clone()
            }
            Some(Holds::Schema) => self.copy(member, desk, &none),
            Some(Holds::Schemas) => {
                let around = if keyword == "allOf" { hidden } else { &none };
                let items = member.items();
                if items.is_empty() {
                    desk.report.fault(&member.place, "is not a list of schemas");
                }
                items.iter().map(|item| self.copy(item, desk, around)).collect()
            }
            Some(Holds::Named) => {
                if !member.value().is_object() {
                    desk.report.fault(&member.place, "is not an object of schemas");
                }
                let named = member.members();
                named
                    .into_iter()
                    .map(|(name, part)| (name, self.copy(&part, desk, &none)))
                    .collect()
            }
            Some(Holds::Unsupported(why)) => return desk.report.fault(&member.place, why),
            None if keyword.starts_with("x-") => return,
            None => {
                let note = "is no keyword that is known here; it checks nothing";
                return desk.report.note(&member.place, note);
            }
        };
        out.insert(keyword.to_owned(), copied);
    }

    fn annotation(&self, keyword: &str, member: &Part, desk: &mut Desk<'_>) {
        if keyword == "$schema" && !member.value().as_str().is_some_and(is_own_dialect) {
            desk.report.fault(&member.place, "names a dialect other than OpenAPI's own");
        }
    }

    fn demand(&self, keyword: &str, member: &Part, desk: &mut Desk<'_>) {
        match (keyword, member.value()) {
            ("type", Value::Array(_)) if self.version == Version::V3_0 => {
                desk.report.fault(&member.place, "is one type in OpenAPI 3.0; see `nullable`");
            }
            ("format", Value::String(format)) if !is_known_format(format) => {
                let note =
                    format!("names the format `{format}`, which is not known; it checks nothing");
                desk.report.note(&member.place, note);
            }
            _ => {}
        }
    }

    /// What OpenAPI 3.0 says of null and of bounds, and what formats of numbers mean.
    fn numbers_and_null(
        &self,
        part: &Part,
        schema: &Map<String, Value>,
        desk: &mut Desk<'_>,
        out: &mut Map<String, Value>,
    ) {
        if self.version == Version::V3_0 {
            exclusive("minimum", "exclusiveMinimum", part, desk, out);
            exclusive("maximum", "exclusiveMaximum", part, desk, out);
            if part.flag("nullable") == Some(true) {
                match out.get("type") {
                    Some(Value::String(kind)) => {
                        out.insert("type".to_owned(), json!([kind, "null"]));
                    }
                    _ => desk.report.note(
                        &part.place.join("nullable"),
                        "means nothing without a `type` beside it (OpenAPI 3.0.3)",
                    ),
                }
            }
        }
        let (least, most) = match schema.get("format").and_then(Value::as_str) {
            _ if !self.formats => return,
            Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Some("int64") => (i64::MIN, i64::MAX),
            _ => return,
        };
        if !out.contains_key("minimum") && !out.contains_key("exclusiveMinimum") {
            out.insert("minimum".to_owned(), json!(least));
        }
        if !out.contains_key("maximum") && !out.contains_key("exclusiveMaximum") {
            out.insert("maximum".to_owned(), json!(most));
        }
    }

    /// Properties of the other direction, as the schema at `part` and what it is made of say.
    fn hidden_properties(
        &self,
        part: &Part,
        desk: &mut Desk<'_>,
        depth: usize,
    ) -> BTreeSet<String> {
        let mut hidden = BTreeSet::new();
        if depth == 0 {
            return hidden;
        }
        let properties = part.member("properties").map(|all| all.members()).unwrap_or_default();
        for (name, property) in properties {
            if self.is_hidden(property, desk) {
                hidden.insert(name);
            }
        }
        let parts = part.member("allOf").map(|all| all.items()).unwrap_or_default();
        let referred = part.text("$ref").map(str::to_owned);
        // A reference that leads nowhere is told of where it is copied.
        let referred = referred.and_then(|to| desk.folder.resolve(&part.place, &to).ok());
        for inner in parts.into_iter().chain(referred) {
            hidden.extend(self.hidden_properties(&inner, desk, depth - 1));
        }
        hidden
    }

    fn is_hidden(&self, mut property: Part, desk: &mut Desk<'_>) -> bool {
        for _ in 0..REFERENCES {
            if property.flag(self.direction.hides()) == Some(true) {
                return true;
            }
            let Some(reference) = property.text("$ref").map(str::to_owned) else { return false };
            let Ok(target) = desk.folder.resolve(&property.place, &reference) else { return false };
            property = target;
        }
        false
    }

    fn hide(&self, hidden: &BTreeSet<String>, out: &mut Map<String, Value>) {
        if let Some(Value::Array(required)) = out.get_mut("required") {
            required.retain(|name| !name.as_str().is_some_and(|name| hidden.contains(name)));
        }
        if let Some(Value::Object(properties)) = out.get_mut("properties") {
            for (name, schema) in properties {
                if hidden.contains(name) {
                    *schema = json!({ self.direction.hides(): true });
                }
            }
        }
    }

    /// Lets the discriminator choose among alternatives: the one it names is the one that counts, and what
    /// is wrong is told of that one.
    fn discriminate(&mut self, part: &Part, desk: &mut Desk<'_>, out: &mut Map<String, Value>) {
        let Some(discriminator) = part.member("discriminator") else { return };
        let Some(name) = discriminator.text("propertyName").map(str::to_owned) else {
            return desk.report.fault(&discriminator.place, "has no `propertyName`");
        };
        let keyword = ["oneOf", "anyOf"].into_iter().find(|keyword| out.contains_key(*keyword));
        let alternatives = keyword.and_then(|keyword| part.member(keyword));
        let choices = alternatives.and_then(|all| self.choices(&discriminator, &all.items(), desk));
        let (Some(keyword), Some(choices)) = (keyword, choices) else {
            return desk.report.note(
                &discriminator.place,
                "does not choose: that takes `oneOf` or `anyOf` of references only",
            );
        };
        out.remove(keyword);
        let names: Vec<&String> = choices.iter().flat_map(|(names, _)| names).collect();
        let mut all = match out.remove("allOf") {
            Some(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        all.push(
            json!({"type": "object", "required": [name], "properties": {&name: {"enum": names}}}),
        );
        all.extend(choices.iter().map(|(names, number)| {
            let chosen = json!({"enum": names});
            let chosen =
                json!({"type": "object", "required": [name], "properties": {&name: chosen}});
            json!({"if": chosen, "then": {"$ref": reference(*number)}})
        }));
        out.insert("allOf".to_owned(), Value::Array(all));
    }

    /// The alternatives with the values that choose them; `None` if one of them is no reference.
    fn choices(
        &mut self,
        discriminator: &Part,
        alternatives: &[Part],
        desk: &mut Desk<'_>,
    ) -> Option<Vec<(Vec<String>, usize)>> {
        let mut mapped: BTreeMap<Place, Vec<String>> = BTreeMap::new();
        let mapping = discriminator.member("mapping").map(|all| all.members()).unwrap_or_default();
        for (value, target) in mapping {
            let named = target.value().as_str().unwrap_or_default();
            let component = format!("#/components/schemas/{named}");
            // What could be both, such as `Dog.json`, is a name if there is one.
            let mut part = desk.folder.resolve(&target.place, &component);
            if part.is_err() && named.contains(['/', '#', '.']) {
                part = desk.folder.resolve(&target.place, named);
            }
            match part {
                Ok(part) => mapped.entry(part.place).or_default().push(value),
                Err(what) => desk.report.fault(&target.place, what),
            }
        }
        let mut choices = Vec::new();
        for alternative in alternatives {
            let only_reference = alternative.value().as_object().is_some_and(|own| own.len() == 1);
            let reference = alternative.text("$ref").filter(|_| only_reference)?.to_owned();
            let target = desk.folder.resolve(&alternative.place, &reference).ok()?;
            let implied = target.place.pointer.steps().last().unwrap_or_default();
            let names = mapped.remove(&target.place).unwrap_or_else(|| vec![implied]);
            choices.push((names, self.number(&target)));
        }
        for place in mapped.keys() {
            let what = format!("maps to {place}, which is none of the alternatives");
            desk.report.fault(&discriminator.place.join("mapping"), what);
        }
        Some(choices)
    }

    /// What the schema at `part` says of types.
    pub(super) fn shape(&self, part: &Part, desk: &mut Desk<'_>) -> Shape {
        let items = self.find(part, "items", desk, DEPTH);
        let others = self.find(part, "additionalProperties", desk, DEPTH);
        let mut properties = BTreeMap::new();
        self.properties(part, desk, DEPTH, &mut properties);
        Shape {
            types: self.types(part, desk, DEPTH),
            items: items.map(|items| self.types(&items, desk, DEPTH)).unwrap_or_default(),
            properties,
            others: others.map(|others| self.types(&others, desk, DEPTH)).unwrap_or_default(),
        }
    }

    fn properties(
        &self,
        part: &Part,
        desk: &mut Desk<'_>,
        depth: usize,
        found: &mut BTreeMap<String, Shape>,
    ) {
        for inner in self.made_of(part, desk, depth) {
            self.properties(&inner, desk, depth - 1, found);
        }
        for (name, property) in
            part.member("properties").map(|all| all.members()).unwrap_or_default()
        {
            let items = self.find(&property, "items", desk, DEPTH);
            let items = items.map(|items| self.types(&items, desk, DEPTH)).unwrap_or_default();
            let types = self.types(&property, desk, DEPTH);
            found.insert(name, Shape { types, items, ..Shape::default() });
        }
    }

    /// The member `name` of the schema or of one that it is made of.
    fn find(&self, part: &Part, name: &str, desk: &mut Desk<'_>, depth: usize) -> Option<Part> {
        let own = part.member(name).filter(|own| own.value().is_object());
        own.or_else(|| {
            let inner = self.made_of(part, desk, depth);
            inner.iter().find_map(|inner| self.find(inner, name, desk, depth - 1))
        })
    }

    /// Schemas of which this one is made, or alternatives of it.
    fn made_of(&self, part: &Part, desk: &mut Desk<'_>, depth: usize) -> Vec<Part> {
        if depth == 0 {
            return Vec::new();
        }
        let reference = part.text("$ref").map(str::to_owned);
        let referred = reference.and_then(|to| desk.folder.resolve(&part.place, &to).ok());
        let lists = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|list| part.member(list));
        referred.into_iter().chain(lists.flat_map(|list| list.items())).collect()
    }

    /// The types that the schema at `part` takes; nothing if it does not say.
    fn types(&self, part: &Part, desk: &mut Desk<'_>, depth: usize) -> Types {
        let named = |value: &Value| value.as_str().map(Types::named).unwrap_or_default();
        let nullable = self.version == Version::V3_0 && part.flag("nullable") == Some(true);
        let null = if nullable { Types::NULL } else { Types::default() };
        match part.value().get("type") {
            Some(Value::Array(types)) => return types.iter().map(named).fold(null, Types::with),
            Some(one) => return named(one).with(null),
            None => {}
        }
        let constant = part.value().get("const").into_iter();
        let values = part.value().get("enum").and_then(Value::as_array).into_iter().flatten();
        let types = constant.chain(values).map(Types::of).fold(Types::default(), Types::with);
        if !types.is_empty() {
            return types;
        }
        let inner = self.made_of(part, desk, depth);
        let types = inner.iter().map(|inner| self.types(inner, desk, depth - 1));
        let types = types.fold(Types::default(), Types::with);
        let has = |name| part.value().get(name).is_some();
        match () {
            () if !types.is_empty() => types,
            () if has("properties") || has("additionalProperties") => Types::OBJECT,
            () if has("items") || has("prefixItems") => Types::ARRAY,
            () => types,
        }
    }
}

fn reference(number: usize) -> String {
    format!("#/$defs/{number}")
}

fn note_siblings(part: &Part, schema: &Map<String, Value>, desk: &mut Desk<'_>) {
    let harmless = ["$ref", "summary", "description"];
    for name in schema.keys() {
        if !harmless.contains(&name.as_str()) && !name.starts_with("x-") {
            let note = "stands beside a `$ref`, where OpenAPI 3.0 ignores it";
            desk.report.note(&part.place.join(name), note);
        }
    }
}

/// `exclusiveMinimum: true` turns `minimum` into an exclusive one.
fn exclusive(
    bound: &str,
    keyword: &str,
    part: &Part,
    desk: &mut Desk<'_>,
    out: &mut Map<String, Value>,
) {
    match part.value().get(keyword) {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => match out.remove(bound) {
            Some(limit) => {
                out.insert(keyword.to_owned(), limit);
            }
            None => desk.report.note(
                &part.place.join(keyword),
                format!("means nothing without `{bound}` beside it"),
            ),
        },
        Some(_) => desk.report.fault(&part.place.join(keyword), "is a boolean in OpenAPI 3.0"),
    }
}

/// Whether `uri` names the dialect that schemas of OpenAPI 3.1 have without saying so.
pub(super) fn is_own_dialect(uri: &str) -> bool {
    uri.starts_with("https://spec.openapis.org/oas/3.1/dialect/")
        || uri.trim_end_matches('#') == "https://json-schema.org/draft/2020-12/schema"
}

fn is_known_format(format: &str) -> bool {
    const OWN: [&str; 7] = ["int32", "int64", "float", "double", "byte", "binary", "password"];
    OWN.contains(&format) || jsonschema::options().is_known_format(Draft::Draft202012, format)
}
