//! The language of ModSecurity rules.
