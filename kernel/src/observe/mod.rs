//! What a running or dying kernel says about itself.
//!
//! | module | idea |
//! | --- | --- |
//! | [`symbols`], [`name`], [`path`] | from a pc to functions, files and lines, and their print |
//! | [`printable`] | names that programs give, which may hold anything |
//! | [`index`] | where in the tables of the ELF to look |
//! | [`unwind`] | from registers to the calls of a stack |
//! | [`visible`] | which of these a report shows |
//! | [`pprof`] | profiles: CPU, goroutines, block, mutex |
//! | [`traceback`] | stacks in Go's format |
//! | [`snapshot`], [`living`] | goroutines of a system that goes on, one instant of each |
//! | [`outermost`] | where a goroutine stands whose CPU fails in an interrupt |
//! | [`attend`] | the dump that a person at the serial line asks for |
//! | [`watch`] | what the watchdog says of a CPU |
//! | [`report`] | the fixed words around them |
//! | [`waits`] | who waits for what, and which waits nobody can end |
//! | [`gdb`] | the same for gdb, by a Python helper inside the image |
//! | [`hostfile`] | files for the host, over the second serial port |
//!
//! Nothing in here knows the scheduler: values go in, text comes out.

pub mod attend;
pub mod dump;
mod dwarf;
pub mod gdb;
pub mod hostfile;
mod index;
pub mod living;
pub mod name;
mod outermost;
pub mod path;
pub mod pprof;
pub mod printable;
pub mod report;
pub mod schedtrace;
mod snapshot;
pub mod symbols;
pub mod trace;
pub mod traceback;
pub mod unwind;
pub mod visible;
pub mod waits;
pub mod watch;
