//! Connections that are lost at any byte, and of which either side may notice late.

use std::collections::VecDeque;

/// A connection. Each side hears that it is over when everything before was delivered, or lost.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub device: usize,
    pub up: VecDeque<Vec<u8>>,
    pub down: VecDeque<Vec<u8>>,
    pub device_left: bool,
    pub relay_left: bool,
}

impl Wire {
    pub fn new(device: usize) -> Self {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        Wire { device, up, down, device_left: false, relay_left: false }
    }
}
