//! One argument or property: its type, its secrets, its place.

use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use kdl::{KdlEntry, KdlValue};
use selvedge_base::{ByteSize, UnitError, format_duration, parse_duration};

use crate::{
    Code, Entry,
    reading::{Problem, Reading, did_you_mean, one_of},
    source::{Span, Spanned},
    syntax::Base,
};

/// One argument or property.
#[derive(Clone, Copy)]
pub(crate) struct Value<'r> {
    reading: &'r Reading<'r>,
    base: Base,
    entry: &'r KdlEntry,
}

/// Text that was written, or that a variable or file holds.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    /// `(env)"NAME"`, when the value is not in the config itself and must not be shown.
    source: Option<String>,
}

/// A value whose type is looked at later.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    Text(String),
    Integer(i128),
    Fraction(f64),
    Switch(bool),
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Fraction(number) => number.fmt(f),
            Self::Switch(switch) => switch.fmt(f),
        }
    }
}

/// What a parser of a text answers.
pub(crate) type Checked<T> = Result<T, Problem>;

impl<'r> Value<'r> {
    pub(crate) fn new(reading: &'r Reading<'r>, base: Base, entry: &'r KdlEntry) -> Self {
        Self { reading, base, entry }
    }

    /// The property's name; `None` for an argument.
    pub(crate) fn key(&self) -> Option<&'r str> {
        self.entry.name().map(|name| name.value())
    }

    pub(crate) fn span(&self) -> Span {
        let span = self.entry.span();
        self.base.span(span.offset(), span.len())
    }

    /// Text, `(env)"NAME"` or `(file)"path"`.
    pub(crate) fn text(self) -> Option<Spanned<Text>> {
        let written = self.string()?;
        let text = match self.entry.ty().map(|ty| ty.value()) {
            None => Ok(Text { value: written.to_owned(), source: None }),
            Some("env") => self.variable(written),
            Some("file") => self.secret_file(written),
            Some(_) => {
                self.refuse_annotation();
                return None;
            }
        };
        self.settle(text)
    }

    /// Text that `read` understands; its errors get this value's place.
    pub(crate) fn parse<T>(self, read: impl FnOnce(&str) -> Checked<T>) -> Option<Spanned<T>> {
        let text = self.text()?.value;
        let parsed = read(&text.value);
        self.settle(parsed.map_err(|problem| match &text.source {
            Some(source) => problem.redacted(source),
            None => problem,
        }))
    }

    /// Text that must not stand in the config: `(env)"NAME"` or `(file)"path"`.
    pub(crate) fn secret<T>(self, read: impl FnOnce(&str) -> Checked<T>) -> Option<Spanned<T>> {
        if self.entry.ty().is_none() {
            let problem = Problem::new(Code::Text, "a secret is not written into a config");
            self.reading.error(self.span(), problem.help("write (env)\"NAME\" or (file)\"path\""));
            return None;
        }
        self.parse(read)
    }

    /// Text that must be written out: a name, a reference, a word of the language.
    pub(crate) fn literal<T>(self, read: impl FnOnce(&str) -> Checked<T>) -> Option<Spanned<T>> {
        let written = self.string()?;
        if self.entry.ty().is_some() {
            self.refuse_annotation();
            return None;
        }
        self.settle(read(written))
    }

    /// One of a few words.
    pub(crate) fn word<T: Clone>(self, choices: &[(&str, T)]) -> Option<Spanned<T>> {
        self.literal(|written| pick(written, choices))
    }

    pub(crate) fn boolean(self) -> Option<Spanned<bool>> {
        self.refuse_any_annotation()?;
        match self.entry.value() {
            KdlValue::Bool(value) => Some(Spanned::new(*value, self.span())),
            _ => self.wrong_type("a switch", "write #true or #false"),
        }
    }

    /// A whole number within `range`.
    pub(crate) fn integer<T>(self, range: RangeInclusive<T>) -> Option<Spanned<T>>
    where
        T: TryFrom<i128> + Into<i128> + Copy,
    {
        self.refuse_any_annotation()?;
        let KdlValue::Integer(written) = self.entry.value() else {
            return self.wrong_type("a whole number", "write digits alone, without quotes");
        };
        let (least, most): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
        let value =
            if (least..=most).contains(written) { T::try_from(*written).ok() } else { None };
        self.settle(value.ok_or_else(|| out_of_range(&written.to_string(), &least, &most)))
    }

    /// A count within `range`.
    pub(crate) fn count(self, range: RangeInclusive<u32>) -> Option<Spanned<usize>> {
        let Spanned { value, span } = self.integer(range)?;
        Some(Spanned::new(value as usize, span))
    }

    /// A number, whole or not, within `range`.
    pub(crate) fn number(self, range: RangeInclusive<f64>) -> Option<Spanned<f64>> {
        self.refuse_any_annotation()?;
        let value = match self.entry.value() {
            KdlValue::Float(value) => *value,
            KdlValue::Integer(value) => *value as f64,
            _ => return self.wrong_type("a number", "write it without quotes, such as 0.5"),
        };
        let problem = || out_of_range(&value.to_string(), range.start(), range.end());
        self.settle(range.contains(&value).then_some(value).ok_or_else(problem))
    }

    /// `"10s"`, within `range`.
    pub(crate) fn duration(self, range: RangeInclusive<Duration>) -> Option<Spanned<Duration>> {
        if !self.entry.value().is_string() {
            return self
                .wrong_type("a duration", "write it in quotes and with its unit, such as \"10s\"");
        }
        self.parse(|text| {
            let value = parse_duration(text).map_err(|error| bad_duration(text, &error))?;
            let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
            let problem = || out_of_range(&format!("{text:?}"), &least, &most);
            range.contains(&value).then_some(value).ok_or_else(problem)
        })
    }

    /// `"64KiB"`, within `range`.
    pub(crate) fn size(self, range: RangeInclusive<ByteSize>) -> Option<Spanned<ByteSize>> {
        if !self.entry.value().is_string() {
            return self
                .wrong_type("a size", "write it in quotes and with its unit, such as \"64KiB\"");
        }
        self.parse(|text| {
            let value: ByteSize = text.parse().map_err(|error| bad_size(text, &error))?;
            let problem = || out_of_range(&format!("{text:?}"), range.start(), range.end());
            range.contains(&value).then_some(value).ok_or_else(problem)
        })
    }

    /// Any value as JSON.
    pub(crate) fn json(self) -> Option<serde_json::Value> {
        if self.entry.value().is_string() {
            return self.text().map(|text| serde_json::Value::String(text.value.value));
        }
        self.refuse_any_annotation()?;
        let json = match self.entry.value() {
            KdlValue::Integer(number) => serde_json::Number::from_i128(*number).map(Into::into),
            KdlValue::Float(number) => serde_json::Number::from_f64(*number).map(Into::into),
            KdlValue::Bool(value) => Some((*value).into()),
            KdlValue::Null | KdlValue::String(_) => Some(serde_json::Value::Null),
        };
        let problem = || {
            Problem::new(Code::OutOfRange, "JSON has no number for this value")
                .help("write it as text, or a number that fits 64 bits")
        };
        self.settle(json.ok_or_else(problem)).map(|json| json.value)
    }

    /// Text, a number or a switch that is written out.
    pub(crate) fn plain(self) -> Option<Spanned<Plain>> {
        self.refuse_any_annotation()?;
        let plain = match self.entry.value() {
            KdlValue::String(_) => return self.literal(|text| Ok(Plain::Text(text.to_owned()))),
            KdlValue::Integer(number) => Plain::Integer(*number),
            KdlValue::Float(number) => Plain::Fraction(*number),
            KdlValue::Bool(value) => Plain::Switch(*value),
            KdlValue::Null => {
                return self.wrong_type("a value", "write text, a number or a switch");
            }
        };
        Some(Spanned::new(plain, self.span()))
    }

    /// A path, absolute once read; nothing need be there yet.
    pub(crate) fn path(self) -> Option<Spanned<PathBuf>> {
        self.parse(|text| {
            check_path_text(text)?;
            Ok(self.resolve(text))
        })
    }

    /// A file that is there.
    pub(crate) fn file(self) -> Option<Spanned<PathBuf>> {
        self.existing(Entry::File)
    }

    /// A file or folder that is there.
    pub(crate) fn file_or_folder(self) -> Option<Spanned<PathBuf>> {
        self.parse(|text| {
            check_path_text(text)?;
            let path = self.resolve(text);
            self.reading
                .env
                .entry(&path)
                .map(|_| path.clone())
                .ok_or_else(|| not_there(text, &path))
        })
    }

    /// A folder that is there.
    pub(crate) fn folder(self) -> Option<Spanned<PathBuf>> {
        self.existing(Entry::Folder)
    }

    /// A file that can be made: its folder is there.
    pub(crate) fn file_to_write(self) -> Option<Spanned<PathBuf>> {
        self.parse(|text| {
            check_path_text(text)?;
            let path = self.resolve(text);
            let folder = path.parent().unwrap_or(Path::new("/"));
            let found = (self.reading.env.entry(folder), self.reading.env.entry(&path));
            match found {
                (Some(Entry::Folder), None | Some(Entry::File)) => Ok(path),
                (Some(Entry::Folder), Some(Entry::Folder)) => {
                    Err(Problem::new(Code::FileMissing, format!("{text:?} is a folder"))
                        .help("name a file in it"))
                }
                _ => Err(Problem::new(
                    Code::FileMissing,
                    format!("{text:?} has no folder to lie in"),
                )
                .help(format!("make the folder {}", folder.display()))),
            }
        })
    }

    /// Whether it is this text, without an annotation.
    pub(crate) fn is_text(self, text: &str) -> bool {
        self.entry.ty().is_none() && self.entry.value().as_string() == Some(text)
    }

    pub(crate) fn reading(self) -> &'r Reading<'r> {
        self.reading
    }

    pub(crate) fn is_boolean(self) -> bool {
        self.entry.value().is_bool()
    }

    /// `text` as a path relative to the file that it is written in.
    pub(crate) fn resolve(&self, text: &str) -> PathBuf {
        self.reading.resolve(self.base.file, text)
    }

    fn existing(self, wanted: Entry) -> Option<Spanned<PathBuf>> {
        let found = self.parse(|text| {
            check_path_text(text)?;
            let path = self.resolve(text);
            match (self.reading.env.entry(&path), wanted) {
                (Some(found), wanted) if found == wanted => Ok(path),
                (None, _) => Err(not_there(text, &path)),
                (Some(_), Entry::File) => {
                    Err(Problem::new(Code::FileMissing, format!("{text:?} is a folder"))
                        .help("name a file in it"))
                }
                (Some(_), Entry::Folder) => {
                    Err(Problem::new(Code::FileMissing, format!("{text:?} is a file"))
                        .help("name the folder it lies in"))
                }
            }
        })?;
        self.reading.names_path(found.value.clone(), found.span);
        Some(found)
    }

    fn string(self) -> Option<&'r str> {
        match self.entry.value() {
            KdlValue::String(text) if !self.is_single_quoted() => Some(text),
            KdlValue::String(text) => {
                let problem = Problem::new(Code::Syntax, "text stands in double quotes");
                let help = format!("write \"{}\"", text.trim_matches('\''));
                self.reading.error(self.span(), problem.help(help));
                None
            }
            _ => self.wrong_type("text", "put it in double quotes"),
        }
    }

    /// KDL takes `'x'` for a bare word that has quotes in it, which nobody means.
    fn is_single_quoted(self) -> bool {
        self.entry.format().is_some_and(|format| format.value_repr.starts_with('\''))
    }

    fn variable(self, name: &str) -> Checked<Text> {
        let value = self.reading.env.var(name).ok_or_else(|| {
            Problem::new(Code::Secret, format!("the environment has no variable `{name}`"))
                .help(format!("set `{name}` before the start, or use (file)\"path\""))
        })?;
        Ok(Text { value, source: Some(format!("(env){name:?}")) })
    }

    fn secret_file(self, name: &str) -> Checked<Text> {
        let path = self.resolve(name);
        let mut value = self.reading.env.read(&path).map_err(|error| {
            let message = format!("{} cannot be read: {error}", path.display());
            Problem::new(Code::Secret, message).help(
                "paths start at the folder of this config file; check the name and its rights",
            )
        })?;
        let trimmed = value.trim_end_matches(['\n', '\r']).len();
        value.truncate(trimmed);
        Ok(Text { value, source: Some(format!("(file){name:?}")) })
    }

    fn settle<T>(self, result: Checked<T>) -> Option<Spanned<T>> {
        match result {
            Ok(value) => Some(Spanned::new(value, self.span())),
            Err(problem) => {
                self.reading.error(self.span(), problem);
                None
            }
        }
    }

    fn wrong_type<T>(self, expected: &str, remedy: &str) -> Option<T> {
        let found = match self.entry.value() {
            KdlValue::String(_) => "text",
            KdlValue::Integer(_) => "a whole number",
            KdlValue::Float(_) => "a number with a fraction",
            KdlValue::Bool(_) => "a boolean",
            KdlValue::Null => "#null",
        };
        let message = format!("{found} stands where {expected} belongs");
        self.reading.error(self.span(), Problem::new(Code::WrongType, message).help(remedy));
        None
    }

    fn refuse_any_annotation(self) -> Option<()> {
        if self.entry.ty().is_none() {
            return Some(());
        }
        self.refuse_annotation();
        None
    }

    fn refuse_annotation(self) {
        let written = self.entry.ty().map_or("", |ty| ty.value());
        let message = match written {
            "env" | "file" => format!("`({written})` is for values in quotes, not for this one"),
            _ => format!("unknown type annotation `({written})`"),
        };
        let problem = Problem::new(Code::UnknownAnnotation, message);
        self.reading.error(
            self.span(),
            match did_you_mean(written, ["env", "file"]) {
                Some(help) if !matches!(written, "env" | "file") => problem.help(help),
                _ => problem.help("write the value itself"),
            },
        );
    }
}

/// The choice that `written` names.
pub(crate) fn pick<T: Clone>(written: &str, choices: &[(&str, T)]) -> Checked<T> {
    let names = || choices.iter().map(|(name, _)| *name);
    match choices.iter().find(|(name, _)| *name == written) {
        Some((_, value)) => Ok(value.clone()),
        None => {
            let help = did_you_mean(written, names())
                .unwrap_or_else(|| format!("it is one of {}", one_of(names())));
            Err(Problem::new(Code::UnknownWord, format!("{written:?} is none of the choices"))
                .help(help))
        }
    }
}

pub(crate) fn out_of_range<T: fmt::Display>(written: &str, least: &T, most: &T) -> Problem {
    Problem::new(Code::OutOfRange, format!("{written} is out of range"))
        .help(format!("allowed: {least} to {most}"))
}

fn bad_duration(text: &str, error: &UnitError) -> Problem {
    let examples = "whole numbers with us, ms, s, m, h or d, such as \"250ms\" or \"10s\"";
    let remedy = match error {
        UnitError::NoUnit => format!("did you mean \"{text}s\"?"),
        _ => examples.to_owned(),
    };
    Problem::new(Code::BadUnit, format!("{text:?} is not a duration: {error}")).help(remedy)
}

fn bad_size(text: &str, error: &UnitError) -> Problem {
    let units = ["B", "KB", "KiB", "MB", "MiB", "GB", "GiB", "TB", "TiB"];
    let examples = "whole numbers with B, KiB, MiB, GiB (or KB, MB, GB), such as \"64KiB\"";
    let remedy = match error {
        UnitError::NoUnit => format!("did you mean \"{text}B\"?"),
        UnitError::UnknownUnit(unit) => units
            .iter()
            .find(|known| known.eq_ignore_ascii_case(unit))
            .map_or(examples.to_owned(), |known| format!("did you mean `{known}`?")),
        _ => examples.to_owned(),
    };
    Problem::new(Code::BadUnit, format!("{text:?} is not a size: {error}")).help(remedy)
}

fn check_path_text(text: &str) -> Checked<()> {
    if text.is_empty() {
        return Err(Problem::new(Code::Text, "a path cannot be empty").help("name a file"));
    }
    if text.contains('\0') {
        return Err(Problem::new(Code::Text, "a path cannot contain NUL").help("remove it"));
    }
    Ok(())
}

fn not_there(text: &str, path: &Path) -> Problem {
    let problem = Problem::new(Code::FileMissing, format!("{text:?} is not there"));
    problem.help(format!(
        "looked for {}; relative paths start at the folder of this file",
        path.display()
    ))
}
