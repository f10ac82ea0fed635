//! What a running or dying kernel says about itself.

mod dwarf;
pub mod path;
pub mod symbols;
