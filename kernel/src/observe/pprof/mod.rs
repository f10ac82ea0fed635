//! Profiles that `go tool pprof` reads (Go: `runtime/pprof`).
//!
//! | module | idea |
//! | --- | --- |
//! | [`profile`] | what all profiles are: stacks with values and labels |
//! | [`proto`], [`encode`] | pprof's protocol buffer |
//! | [`text`] | pprof's text forms, for a console |
//! | [`top`] | the functions that lead |
//! | [`ring`] | from the interrupt of a CPU to a goroutine |
//! | [`leaf`] | the caller that the frame pointer does not tell yet |
//! | [`cpu`] | the CPU profile |
//! | [`goroutines`] | the stacks of all goroutines |
//! | [`contention`] | the block and mutex profiles |
//!
//! Functions, files and lines are looked up here, in the kernel's own ELF: so a file says all by
//! itself, and `pprof` needs the ELF only for disassembly.

pub mod contention;
pub mod cpu;
pub mod encode;
pub mod goroutines;
mod leaf;
pub mod profile;
mod proto;
mod ring;
pub mod text;
pub mod top;
