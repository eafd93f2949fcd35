//! The config as operators meet it: text in, a config or a report out.

mod spec;
