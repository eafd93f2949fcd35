use super::{Fault, Field, Limits, Problem, Sink, Text};

/// What a parser's step comes to; a problem ends the parsing.
pub(super) type Step<T = ()> = Result<T, Problem>;

/// Counts what goes to the sink.
pub(super) struct Output<'a> {
    sink: &'a mut dyn Sink,
    fields_left: usize,
    name_bytes_left: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink, limits: &Limits) -> Self {
        Self { sink, fields_left: limits.fields_max, name_bytes_left: limits.names_bytes_max }
    }

    /// Puts a field that was found at `offset`.
    pub(super) fn put(&mut self, offset: usize, field: Field<'_>) -> Step {
        self.fields_left = self.fields_left.checked_sub(1).ok_or(Problem::new(
            offset,
            Fault::TooMany,
            "there are too many fields",
        ))?;
        if self.sink.put(field).is_break() {
            return Err(Problem::new(offset, Fault::Stopped, "the rest was not asked for"));
        }
        Ok(())
    }

    /// Puts a field whose name, or a part of it, others have too: one long name before many short values
    /// is more to look at than the whole text.
    pub(super) fn put_shared(&mut self, offset: usize, field: Field<'_>) -> Step {
        let length = match &field.name {
            Text::At(range) => range.len(),
            Text::Decoded(name) => name.len(),
        };
        self.name_bytes_left = self.name_bytes_left.checked_sub(length).ok_or(Problem::new(
            offset,
            Fault::TooLong,
            "the names are too long together",
        ))?;
        self.put(offset, field)
    }
}
