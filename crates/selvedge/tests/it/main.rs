//! The command as its users meet it: the real executable, its output, its exit codes.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod agent_metrics;
mod agents_table;
mod audit;
mod audit_core;
mod audit_edge;
mod audit_witness;
mod backup;
mod backup_s3;
mod bounds;
mod chaos;
mod check;
mod core;
mod core_remote;
mod core_stop;
mod core_telemetry;
mod doc;
mod doc_refused;
mod docs;
mod edge;
mod explain;
mod firewall;
mod help;
mod http;
mod init;
mod keys;
mod kills;
mod process;
mod reload;
mod streams;
mod sync;
mod sync_push;
mod sync_tokens;
mod up;
mod views;
mod waf;
