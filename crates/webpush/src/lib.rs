//! Wakes sleeping browsers: a push message (RFC 8030) that says who sends it (VAPID, RFC 8292), and what only the browser reads (RFC 8291).
//!
//! A push service learns that something waits for a device, and when; it learns nothing of what. The addresses of push services come
//! from clients, so that only the services an operator [allows](Service) are ever asked, and no redirect is followed.

mod guard;
mod message;
mod sender;
mod service;
mod vapid;

pub use message::{BadSubscription, MESSAGE_BYTES_MAX, Subscription};
pub use sender::{PushError, Sender, Settings, Wake};
pub use service::{BadService, Service};
pub use vapid::{BadKey, VapidKey};
