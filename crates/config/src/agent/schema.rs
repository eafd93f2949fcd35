//! The settings of `selvedge agent schema`: what messages must look like.

use std::{collections::BTreeMap, path::PathBuf};

use selvedge_base::ByteSize;
use serde::{Deserialize, Serialize};

use crate::AgentEvent;

pub(super) mod part;

/// What the schema agent is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// OpenAPI documents; each has another id. One of these or of `schemas` is there.
    pub documents: Vec<Document>,
    /// Schemas by themselves; each has another id.
    pub schemas: Vec<Schema>,
    /// What a JSON body may be before it is looked at any closer.
    pub bounds: Bounds,
    /// Violations become findings, and nothing is refused. Default off.
    pub report_only: bool,
    /// Whether responses are checked against `documents`. Default off.
    pub response: bool,
    /// Status for requests that are not as described: 400, which is the default, or 422.
    pub status: u16,
    /// Whether `format` is a demand. Default yes.
    pub formats: bool,
    /// How patterns are matched. Default linear.
    pub patterns: Patterns,
    /// Whether request bodies in gzip or deflate are decoded and checked; otherwise they are refused with
    /// 415. Default no.
    pub decode: bool,
}

/// How patterns of schemas are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patterns {
    /// In time linear in the text; a schema with look-around or back-references is refused.
    Linear,
    /// With look-around and back-references, by a bounded number of tries.
    Backtracking,
}

/// An OpenAPI 3.0 or 3.1 document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The operator's name for it.
    pub id: String,
    /// JSON, or YAML by its name (`.yaml`, `.yml`). It may refer to files of its folder.
    pub file: PathBuf,
    /// What request paths have in front of the document's. `None`: as its `servers` say.
    pub base_path: Option<String>,
    /// What happens to a request that it does not describe. Default refuse.
    pub undocumented: Undocumented,
}

/// What happens to a request that a document does not describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undocumented {
    /// 404, 405 or 415.
    Refuse,
    /// It goes on unchecked.
    Pass,
}

/// A JSON Schema for some messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The operator's name for it.
    pub id: String,
    /// The schema; `$schema` says which draft, 2020-12 if nothing does. It may refer to files of
    /// its folder.
    pub file: PathBuf,
    /// Whose bodies.
    pub on: Side,
    /// Any of these paths. Empty: all.
    pub paths: Vec<Path>,
    /// Any of these methods. Empty: all.
    pub methods: Vec<String>,
    /// Any of these media types, such as `application/json` or `application/*+json`; others are
    /// refused with 415 in requests and pass in responses. Default `application/json` and
    /// `application/*+json`.
    pub content_types: Vec<String>,
}

/// Whose bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The client's. The default.
    Request,
    /// The upstream's.
    Response,
}

/// A condition on a normalised path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// The whole path.
    Exact(String),
    /// On a segment boundary.
    Prefix(String),
    /// A regular expression for the whole path; it compiles, and is anchored already.
    Regex(String),
}

/// What a JSON body may be before it is looked at any closer. Keys that occur twice in one object
/// are refused in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Bytes. Default: the agent's `body-max`, which it cannot exceed; then 413.
    #[serde(with = "super::wire::bytes")]
    pub size: ByteSize,
    /// Nesting, up to 127. Default 64; then 400.
    pub depth: usize,
    /// Keys of all objects together. Default 10,000; then 400.
    pub keys: usize,
    /// Items of all arrays together. Default 100,000; then 400.
    pub items: usize,
    /// Characters of one number. Default 64; then 400.
    pub number_digits: usize,
    /// Bytes of one text or key. Default: as `size`; then 400.
    #[serde(with = "super::wire::bytes")]
    pub string_size: ByteSize,
    /// Violations that an answer lists. Default 32; the others are counted.
    pub violations: usize,
}

/// What a route says of its schemas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Ids of the documents that hold here.
    pub documents: Vec<String>,
    /// Ids of the schemas that hold here. When both lists are empty, all documents and schemas do.
    pub schemas: Vec<String>,
    /// Whether nothing is refused here. `None`: as the agent says.
    pub report_only: Option<bool>,
}

impl Settings {
    /// What it is asked about.
    pub fn events(&self) -> Vec<AgentEvent> {
        let of_side = |side| self.schemas.iter().any(|schema| schema.on == side);
        let request = !self.documents.is_empty() || of_side(Side::Request);
        let response = self.response || of_side(Side::Response);
        let [request_headers, request_body, response_headers, response_body, ..] = AgentEvent::ALL;
        let events = [
            (request_headers, true),
            (request_body, request),
            (response_headers, response),
            (response_body, response),
        ];
        events.into_iter().filter_map(|(event, is_needed)| is_needed.then_some(event)).collect()
    }

    /// Files that the agent reads; those that they refer to lie beside them.
    pub fn files(&self) -> Vec<PathBuf> {
        let documents = self.documents.iter().map(|document| &document.file);
        documents.chain(self.schemas.iter().map(|schema| &schema.file)).cloned().collect()
    }
}

impl RouteOptions {
    /// Reads the options that an edge sent: `option` finds the text of the attribute `route.NAME`.
    pub fn read<'o>(option: impl Fn(&str) -> Option<&'o str>) -> Self {
        Self {
            documents: super::options::listed(option("document"), ','),
            schemas: super::options::listed(option("schema"), ','),
            report_only: option("report-only").map(|written| written == "true"),
        }
    }

    /// What [`Self::read`] reads.
    pub fn to_options(&self) -> BTreeMap<String, String> {
        let Self { documents, schemas, report_only } = self;
        super::options::written([
            ("document", (!documents.is_empty()).then(|| documents.join(","))),
            ("schema", (!schemas.is_empty()).then(|| schemas.join(","))),
            ("report-only", report_only.map(|only| only.to_string())),
        ])
    }
}
