//! What a running or dying kernel says about itself.
//!
//! | module | idea |
//! | --- | --- |
//! | [`symbols`], [`name`], [`path`] | from a pc to functions, files and lines, and their print |
//! | [`unwind`] | from registers to the calls of a stack |
//! | [`visible`] | which of these a report shows |
//! | [`traceback`] | stacks in Go's format |
//! | [`report`] | the fixed words around them |
//!
//! Nothing in here knows the scheduler: values go in, text comes out.

pub mod dump;
mod dwarf;
pub mod name;
pub mod path;
pub mod report;
pub mod schedtrace;
pub mod symbols;
pub mod traceback;
pub mod unwind;
pub mod visible;
