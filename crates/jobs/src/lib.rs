//! Work that follows the event log, so that nobody reads a whole stream to know what it comes to.
//!
//! So far that is materialised views. It knows no socket and no wall between processes: the core gives it a
//! [`Log`](selvedge_eventlog::Log) and a folder, and puts its router where it likes; who calls is what `selvedge-identity` says.
//!
//! ```
//! use selvedge_config::{View, ViewShape};
//! use selvedge_eventlog::{Log, Settings};
//! use selvedge_jobs::Views;
//!
//! # let folder = tempfile::tempdir()?;
//! let log = Log::open(&folder.path().join("log"), Settings::default())?;
//! let sql = "SELECT json ->> 'country' AS country, count(*) AS orders FROM event GROUP BY country";
//! let orders = View {
//!     name: "orders-by-country".to_owned(),
//!     tenant: None,
//!     stream: "orders".to_owned(),
//!     rows_max: 1_000,
//!     shape: ViewShape::Sql(sql.to_owned()),
//! };
//! let views = Views::open(folder.path(), log, &[orders])?;
//! let router: axum::Router = views.router();
//! views.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod views;

pub use views::{CODES, FILE, OpenError, StoreError, Views, copy, refused};
