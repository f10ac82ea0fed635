//! What goroutines share: `Mutex`, `WaitGroup`.

mod mutex;
mod waitgroup;

pub use mutex::{Mutex, MutexGuard};
pub use waitgroup::WaitGroup;
