//! What everything above stands on: the lock, atomic references, counters, instants, the console,
//! the command line, and the functions that the compiler expects of a libc.

pub mod aref;
pub mod cmdline;
pub mod console;
pub mod counter;
pub mod faults;
pub mod file_name;
pub mod instant;
pub mod intrinsics;
pub mod lock;
pub mod options;
#[cfg(test)]
pub(crate) mod properties;
mod quoted;
pub mod trace_ring;
