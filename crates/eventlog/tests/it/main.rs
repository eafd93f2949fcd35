//! The log at the boundary that programs use, on a real disk.

mod basics;
