//! Servers behind the edge: which one is asked, over which connection, and what is known of its health.

pub(crate) mod balance;
pub(crate) mod breaker;
mod budget;
pub(crate) mod connect;
pub(crate) mod ejection;
mod epoch;
pub(crate) mod health;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod http2_driver;
pub(crate) mod http2_pool;
pub(crate) mod pool;
pub(crate) mod target;
