//! The serial console's shell.

pub mod input;
