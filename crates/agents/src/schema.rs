//! What comes in must look as a schema or an API's description says.

mod guard;
mod pointer;
