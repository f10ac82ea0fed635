//! Why a context ended: Go's two errors, with its texts.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

/// An error that tells more about the end than [`ContextError`] does, shared by all contexts that
/// it ended. `Arc::new(error)` makes one.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a context ended.
///
/// ```
/// extern crate alloc;
/// use alloc::string::ToString;
/// use gosched::context::ContextError;
/// assert_eq!(ContextError::Canceled.to_string(), "context canceled");
/// assert_eq!(ContextError::DeadlineExceeded.to_string(), "context deadline exceeded");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContextError {
    /// Somebody called its cancel function, or that of a context it stems from.
    Canceled,
    /// Its deadline passed.
    DeadlineExceeded,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ContextError::Canceled => "context canceled",
            ContextError::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl Error for ContextError {}
