//! Rules in KDL, and those that come with Selvedge.
