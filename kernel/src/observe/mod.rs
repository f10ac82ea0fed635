//! What a running or dying kernel says about itself.

mod dwarf;
pub mod path;
pub mod report;
pub mod symbols;
pub mod traceback;
pub mod unwind;
pub mod visible;
