//! Where an agent runs: `command`, `address`, `grpc` or `http`.

use std::path::PathBuf;

use super::bridge::part::ServicePart;
use crate::{
    Code,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Span, Spanned},
    value::{Checked, Value},
};

/// One of the ways as written; `None` inside when something is wrong with it.
pub(super) struct ProgramPart {
    pub(super) span: Span,
    pub(super) way: Option<Way>,
}

/// Where a foreign agent runs.
pub(super) enum Way {
    Command { program: String, arguments: Vec<String> },
    Address(PathBuf),
    Service(ServicePart),
}

/// All ways that are written, although one or none is right.
pub(super) fn read_programs(cursor: &mut Cursor<'_>) -> Vec<ProgramPart> {
    cursor.children(&["command", "address", "grpc", "http"], |cursor| {
        let span = cursor.span();
        let way = match cursor.name() {
            "command" => read_command(cursor),
            "address" => read_address(cursor),
            _ => ServicePart::read(cursor).map(Way::Service),
        };
        ProgramPart { span, way }
    })
}

/// The only way, after an error for each further one.
pub(super) fn only_program(
    reading: &Reading<'_>,
    programs: Vec<ProgramPart>,
) -> Option<ProgramPart> {
    let mut programs = programs.into_iter();
    let first = programs.next()?;
    for more in programs {
        let problem = Problem::new(Code::Conflict, "an agent runs in one place")
            .note("the first is here", first.span)
            .help("keep one of `command`, `address`, `grpc` and `http`");
        reading.error(more.span, problem);
    }
    Some(first)
}

fn read_command(cursor: &mut Cursor<'_>) -> Option<Way> {
    let program = cursor.argument("a program").and_then(read_program);
    let arguments = std::iter::from_fn(|| cursor.optional_argument());
    let arguments: Vec<Option<Spanned<String>>> =
        arguments.map(|value| value.literal(argument)).collect();
    let arguments = arguments.into_iter().map(|one| one.map(|one| one.value));
    Some(Way::Command { program: program?, arguments: arguments.collect::<Option<_>>()? })
}

/// A name by itself is found in `PATH`; a path is relative to the file that it is written in.
fn read_program(value: Value<'_>) -> Option<String> {
    let name = value.literal(|text| argument(text).map(|text| (text.contains('/'), text)))?.value;
    match name {
        (false, name) => Some(name),
        (true, _) => value.file().map(|path| path.value.display().to_string()),
    }
}

fn argument(text: &str) -> Checked<String> {
    match text.contains('\0') {
        true => {
            Err(Problem::new(Code::Text, "a program's argument cannot hold NUL").help("remove it"))
        }
        false => Ok(text.to_owned()),
    }
}

fn read_address(cursor: &mut Cursor<'_>) -> Option<Way> {
    let value = cursor.argument("an address such as \"unix:/run/agent.sock\"")?;
    let path = value.parse(|text| match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() && !path.contains('\0') => Ok(value.resolve(path)),
        _ => Err(Problem::new(Code::Address, format!("{text:?} is not the address of an agent"))
            .help(address_remedy(text))),
    });
    path.map(|path| Way::Address(path.value))
}

fn address_remedy(text: &str) -> String {
    if text.starts_with("http://") || text.starts_with("https://") {
        return format!("write `grpc address={text:?}` or `http address={text:?}`");
    }
    match text.starts_with('/') {
        true => format!("write \"unix:{text}\""),
        false => "it is a unix socket, such as \"unix:/run/agent.sock\"".to_owned(),
    }
}
