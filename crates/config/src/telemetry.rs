//! `telemetry { … }`.

use selvedge_base::Secret;

use crate::{
    Code, LogTarget, Otlp, Telemetry,
    bounds::PROCESS,
    cursor::Cursor,
    http::{base_url, header_value, operable_header_name},
    reading::{Problem, Reading},
    source::{Spanned, sound},
    value::Value,
};

/// `telemetry` as written.
#[derive(Default)]
pub(crate) struct TelemetryPart {
    /// Outer: written at all; inner: understood.
    access_log: Option<Option<Option<LogTarget>>>,
    decision_log: Option<Spanned<bool>>,
    otlp: Option<OtlpPart>,
}

struct OtlpPart {
    endpoint: Option<Spanned<String>>,
    headers: Vec<(String, Secret)>,
    sample: Option<Spanned<f64>>,
    queue: Option<Spanned<usize>>,
    service: Option<Spanned<String>>,
}

impl TelemetryPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            access_log: cursor.child("access-log", read_access_log),
            decision_log: cursor.setting("decision-log", |value| value.boolean()),
            otlp: cursor.child("otlp", OtlpPart::read),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<Telemetry> {
        let Self { access_log, decision_log, otlp } = self;
        let otlp = otlp.map(|part| part.settle(reading));
        let access_log = access_log.unwrap_or(Some(Some(LogTarget::Stdout)));
        let decision_log = decision_log.is_none_or(|switch| switch.value);
        Some(Telemetry { access_log: access_log?, decision_log, otlp: sound(otlp)? })
    }
}

/// `"stdout"`, `"stderr"`, `"file" "path"` or `#false`.
fn read_access_log(cursor: &mut Cursor<'_>) -> Option<Option<LogTarget>> {
    let first = cursor.argument("\"stdout\", \"stderr\", \"file\" and a path, or #false")?;
    if first.is_boolean() {
        let switch = first.boolean()?;
        return Some(switch.value.then_some(LogTarget::Stdout));
    }
    let choices =
        [("stdout", Some(LogTarget::Stdout)), ("stderr", Some(LogTarget::Stderr)), ("file", None)];
    match first.word(&choices)?.value {
        Some(target) => Some(Some(target)),
        None => {
            let path = cursor.argument("a path behind \"file\"").and_then(Value::file_to_write)?;
            Some(Some(LogTarget::File(path.value)))
        }
    }
}

impl OtlpPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let endpoint = cursor.argument("a URL such as \"http://127.0.0.1:4318\"");
        Self {
            endpoint: endpoint.and_then(|value| value.parse(base_url)),
            headers: cursor.children(&["header"], read_header).into_iter().flatten().collect(),
            sample: cursor.setting("sample", |value| value.number(0.0..=1.0)),
            queue: cursor.setting("queue", |value| value.count(1..=1_000_000)),
            service: cursor.setting("service", read_service),
        }
    }

    fn settle(self, reading: &Reading<'_>) -> Option<Otlp> {
        let Self { endpoint, headers, sample, queue, service } = self;
        Some(Otlp {
            endpoint: endpoint?.value,
            headers,
            sample: sample.map_or(0.01, |sample| sample.value),
            queue: reading.settle(PROCESS, "telemetry otlp queue", queue, 8_192),
            service: service.map_or_else(|| "selvedge".to_owned(), |service| service.value),
        })
    }
}

fn read_header(cursor: &mut Cursor<'_>) -> Option<(String, Secret)> {
    let name = cursor.argument("the name of a header");
    let name = name.and_then(|value| value.parse(|text| operable_header_name(text, true)));
    let value = cursor.argument("a name and a value");
    let value = value.and_then(|value| value.parse(header_value));
    Some((name?.value, Secret::new(value?.value)))
}

fn read_service(value: Value<'_>) -> Option<Spanned<String>> {
    value.parse(|text| match text.trim().is_empty() || text.contains(char::is_control) {
        true => Err(Problem::new(Code::Text, "a service needs a name").help("such as \"edge\"")),
        false => Ok(text.to_owned()),
    })
}
