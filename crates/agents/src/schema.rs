//! What comes in must look as a schema or an API's description says.

mod answer;
mod body;
mod checker;
mod coding;
mod document;
mod guard;
mod media;
mod metered;
mod openapi;
mod pointer;
mod single;
#[cfg(test)]
mod suite;
mod unique;
mod violation;
