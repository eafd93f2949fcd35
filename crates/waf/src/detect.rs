//! Detection without rules: what SQL and HTML parsers would make of a value.
