//! What comes in must look as a schema or an API's description says.

mod body;
mod checker;
mod document;
mod guard;
mod media;
mod metered;
mod openapi;
mod pointer;
#[cfg(test)]
mod suite;
mod unique;
mod violation;
