//! What everything above stands on: the lock, atomic references, the console, the options.

pub mod aref;
pub mod console;
pub mod lock;
