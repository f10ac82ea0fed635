//! `std::thread`'s names, for programs that say `thread::spawn`: all of it is goroutines.
//!
//! ```
//! use gosched::thread;
//! use gosched::time::Duration;
//!
//! let sum = thread::scope(|s| {
//!     let one = s.spawn(|| 1);
//!     thread::sleep(Duration::from_millis(1));
//!     one.join().unwrap() + 2
//! });
//! assert_eq!(sum, 3);
//! ```

pub use crate::goroutine::{
    AccessError, Builder, Goroutine as Thread, JoinHandle, Local as LocalKey, Result, Scope,
    ScopedJoinHandle, current, park, park_timeout, scope, spawn, yield_now,
};
pub use crate::time::{sleep, sleep_until};
