//! A checked reader of one node: whatever was not asked for is an error when reading ends.

use std::cell::Cell;

use kdl::{KdlEntry, KdlNode};

use crate::{
    Code,
    reading::{Problem, Reading, did_you_mean, one_of},
    source::Span,
    syntax::{Base, TopNode},
    value::Value,
};

/// One node, or the document as a whole, while it is read.
pub(crate) struct Cursor<'r> {
    reading: &'r Reading<'r>,
    name: &'r str,
    /// Of the name, or of the document's first byte.
    span: Span,
    entries: Vec<(Value<'r>, Used)>,
    children: Vec<(Child<'r>, Used)>,
    known_properties: Vec<&'static str>,
    known_children: Vec<&'static str>,
}

type Used = Cell<bool>;

#[derive(Clone, Copy)]
struct Child<'r> {
    base: Base,
    node: &'r KdlNode,
}

impl<'r> Cursor<'r> {
    /// Reads a document whose top-level nodes may come from several files.
    pub(crate) fn read_document<T>(
        reading: &'r Reading<'r>,
        (nodes, start): (&'r [TopNode], Span),
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let children = nodes.iter().map(|top| Child { base: top.base, node: &top.node });
        let mut cursor = Self {
            reading,
            name: "",
            span: start,
            entries: Vec::new(),
            children: children.map(unused).collect(),
            known_properties: Vec::new(),
            // Includes have been read before, and are no less known.
            known_children: vec!["include"],
        };
        let value = read(&mut cursor);
        cursor.finish();
        value
    }

    /// Reads one top-level node by itself.
    pub(crate) fn read_node<T>(
        reading: &'r Reading<'r>,
        top: &'r TopNode,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        Child { base: top.base, node: &top.node }.read(reading, read)
    }

    pub(crate) fn reading(&self) -> &'r Reading<'r> {
        self.reading
    }

    pub(crate) fn name(&self) -> &'r str {
        self.name
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }

    pub(crate) fn error(&self, problem: Problem) {
        self.reading.error(self.span, problem);
    }

    /// The next argument; `what` says in an error what it should have been.
    pub(crate) fn argument(&mut self, what: &str) -> Option<Value<'r>> {
        let argument = self.optional_argument();
        if argument.is_none() {
            let message = format!("`{}` needs {what}", self.name);
            let help = format!("write {what} behind `{}`", self.name);
            self.error(Problem::new(Code::Missing, message).help(help));
        }
        argument
    }

    pub(crate) fn optional_argument(&mut self) -> Option<Value<'r>> {
        let is_next = |(value, used): &&(Value<'r>, Used)| !used.get() && value.key().is_none();
        let (value, used) = self.entries.iter().find(is_next)?;
        used.set(true);
        Some(*value)
    }

    /// All further arguments; at least one.
    pub(crate) fn arguments(&mut self, what: &str) -> Vec<Value<'r>> {
        let first = self.argument(what);
        first.into_iter().chain(std::iter::from_fn(|| self.optional_argument())).collect()
    }

    pub(crate) fn property(&mut self, name: &'static str) -> Option<Value<'r>> {
        self.known_properties.push(name);
        let mut found = None;
        for (value, used) in self.entries.iter().filter(|(value, _)| value.key() == Some(name)) {
            used.set(true);
            match found {
                None => found = Some(*value),
                Some(first) => self.report_repeated(name, value.span(), Value::span(&first)),
            }
        }
        found
    }

    /// The only child of that name, if it is there.
    pub(crate) fn child<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        self.known_children.push(name);
        let mut found = None;
        for (child, used) in self.children.iter().filter(|(child, _)| child.name() == name) {
            used.set(true);
            match found {
                None => found = Some(*child),
                Some(first) => self.report_repeated(name, child.span(), Child::span(&first)),
            }
        }
        found.map(|child| child.read(self.reading, read))
    }

    /// All children of these names, in the order written.
    pub(crate) fn children<T>(
        &mut self,
        names: &[&'static str],
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        self.known_children.extend(names);
        let of_names = self.children.iter().filter(|(child, _)| names.contains(&child.name()));
        let mut values = Vec::new();
        for (child, used) in of_names {
            used.set(true);
            values.push(child.read(self.reading, &mut read));
        }
        values
    }

    /// All children that nobody has asked for, in the order written: nodes whose names are the
    /// operator's.
    pub(crate) fn rest<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut values = Vec::new();
        for (child, used) in self.children.iter().filter(|(_, used)| !used.get()) {
            used.set(true);
            values.push(child.read(self.reading, &mut read));
        }
        values
    }

    /// All properties that nobody has asked for, in the order written.
    pub(crate) fn rest_of_properties(&mut self) -> Vec<Value<'r>> {
        let is_rest = |(value, used): &&(Value<'r>, Used)| !used.get() && value.key().is_some();
        let rest = self.entries.iter().filter(is_rest);
        rest.inspect(|(_, used)| used.set(true)).map(|(value, _)| *value).collect()
    }

    /// Takes the children of that name without reading them; where the first of them is.
    pub(crate) fn skip(&mut self, name: &str) -> Option<Span> {
        let of_name = self.children.iter().filter(|(child, _)| child.name() == name);
        let skipped: Vec<Span> =
            of_name.inspect(|(_, used)| used.set(true)).map(|(child, _)| child.span()).collect();
        skipped.first().copied()
    }

    /// A child with one argument, such as `idle "75s"`.
    pub(crate) fn setting<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value<'r>) -> Option<T>,
    ) -> Option<T> {
        self.child(name, |cursor| cursor.argument("a value").and_then(read)).flatten()
    }

    /// As [`Self::setting`]; an error that shows `example` when there is none.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        example: &str,
        read: impl FnOnce(Value<'r>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            let message = format!("`{}` has no `{name}`", self.name);
            self.error(Problem::new(Code::Missing, message).help(format!("add `{example}`")));
        }
        self.setting(name, read)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.span_of(name).is_some()
    }

    /// Where the first child of that name is.
    pub(crate) fn span_of(&self, name: &str) -> Option<Span> {
        self.children.iter().find(|(child, _)| child.name() == name).map(|(child, _)| child.span())
    }

    /// Whether there are children that nobody has asked for so far.
    pub(crate) fn has_unread(&self) -> bool {
        self.children.iter().any(|(_, used)| !used.get())
    }

    /// `name` as a switch with an optional block: `#false`, `#true`, or a block of settings.
    pub(crate) fn switch<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<Switch<T>> {
        self.child(name, |cursor| {
            let flag = cursor.optional_argument().and_then(Value::boolean);
            if flag.as_ref().is_some_and(|flag| !flag.value) && !cursor.children.is_empty() {
                let message = format!("`{name} #false` has settings");
                cursor.error(
                    Problem::new(Code::Conflict, message).help("remove the `#false` or the block"),
                );
            }
            let part = read(cursor);
            if flag.is_some_and(|flag| !flag.value) { Switch::Off } else { Switch::On(part) }
        })
    }

    fn report_repeated(&self, name: &str, span: Span, first: Span) {
        let problem = Problem::new(Code::Repeated, format!("`{name}` is written twice"))
            .note("first written here", first)
            .help("keep one of them");
        self.reading.error(span, problem);
    }

    /// Reports what was not asked for.
    fn finish(self) {
        for (value, _) in self.entries.iter().filter(|(_, used)| !used.get()) {
            self.reading.error(value.span(), self.surplus_entry(value));
        }
        for (child, _) in self.children.iter().filter(|(_, used)| !used.get()) {
            self.reading.error(child.span(), self.unknown_child(child.name()));
        }
    }

    fn surplus_entry(&self, value: &Value<'r>) -> Problem {
        let Some(key) = value.key() else {
            let message = format!("`{}` does not take this argument", self.name);
            return Problem::new(Code::SurplusArgument, message).help("remove it");
        };
        let message = format!("unknown property `{key}` of `{}`", self.name);
        let problem = Problem::new(Code::UnknownProperty, message);
        if self.known_children.contains(&key) {
            return problem.help(format!("`{key}` is a node of its own: `{{ {key} … }}`"));
        }
        match did_you_mean(key, self.known_properties.iter().copied()) {
            Some(help) => problem.help(help),
            None if self.known_properties.is_empty() => {
                problem.help(format!("`{}` has no properties", self.name))
            }
            None => problem
                .help(format!("known here: {}", one_of(self.known_properties.iter().copied()))),
        }
    }

    fn unknown_child(&self, name: &str) -> Problem {
        let place = match self.name {
            "" => String::new(),
            parent => format!(" in `{parent}`"),
        };
        let problem = Problem::new(Code::UnknownNode, format!("unknown node `{name}`{place}"));
        if self.known_children.is_empty() {
            return problem.help(format!("`{}` has no block", self.name));
        }
        if self.known_properties.contains(&name) {
            return problem.help(format!("`{name}` is a property: `{} … {name}=…`", self.name));
        }
        match did_you_mean(name, self.known_children.iter().copied()) {
            Some(help) => problem.help(help),
            None => {
                problem.help(format!("known here: {}", one_of(self.known_children.iter().copied())))
            }
        }
    }
}

/// What was written for something that can be switched off or set in detail.
#[derive(Debug)]
pub(crate) enum Switch<T> {
    Off,
    On(T),
}

impl<'r> Child<'r> {
    fn name(&self) -> &'r str {
        self.node.name().value()
    }

    fn span(&self) -> Span {
        let span = self.node.name().span();
        self.base.span(span.offset(), span.len())
    }

    fn read<T>(self, reading: &'r Reading<'r>, read: impl FnOnce(&mut Cursor<'r>) -> T) -> T {
        self.refuse_annotation(reading);
        let children = self.node.iter_children().map(|node| Child { base: self.base, node });
        let value = |entry: &'r KdlEntry| Value::new(reading, self.base, entry);
        let mut cursor = Cursor {
            reading,
            name: self.name(),
            span: self.span(),
            entries: self.node.entries().iter().map(value).map(unused).collect(),
            children: children.map(unused).collect(),
            known_properties: Vec::new(),
            known_children: Vec::new(),
        };
        let value = read(&mut cursor);
        cursor.finish();
        value
    }

    fn refuse_annotation(&self, reading: &Reading<'_>) {
        let Some(ty) = self.node.ty() else { return };
        let message = format!("a node takes no type annotation, here `({})`", ty.value());
        let span = self.base.span(ty.span().offset(), ty.span().len());
        reading.error(span, Problem::new(Code::UnknownAnnotation, message).help("remove it"));
    }
}

fn unused<T>(part: T) -> (T, Used) {
    (part, Cell::new(false))
}
