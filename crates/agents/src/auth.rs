//! Who is asking: tokens, API keys and client certificates become an identity, or an answer that
//! says what is missing.

mod algorithm;
mod json;
mod jwk;
mod jws;

pub use algorithm::{Algorithm, AlgorithmSet};
pub use jwk::{Key, KeySet, KeySetError, LeftOut, SecretError};
pub use jws::{KeyError, Token, TokenError};
