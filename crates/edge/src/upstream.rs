//! Servers behind the edge: which one is asked, over which connection, and what is known of its health.

mod balance;
mod breaker;
mod budget;
mod ejection;
mod epoch;
mod health;
mod target;
