//! The engine as its callers meet it.

mod seclang;
