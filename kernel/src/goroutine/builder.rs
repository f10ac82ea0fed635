//! `Builder`: a goroutine with a name or a larger stack, and with an error when there is no memory
//! for it (std: `thread::Builder`). All kinds of `spawn` come through here.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use super::handle::Goroutine;
use super::join::{Join, JoinHandle};
use super::packet;
use super::scope::{Family, Scope, ScopedJoinHandle};
use crate::mem::stack;
use crate::sched::fatal;
use crate::sched::newproc::{self, Attributes};

/// Says how a goroutine is to be made, as `std::thread::Builder`.
///
/// ```
/// use gosched::Builder;
///
/// let deep = Builder::new().name("deep").stack_size(4 << 20);
/// let sum = deep.spawn(|| (1..=10).sum::<u32>()).expect("there is memory");
/// assert_eq!(sum.join().unwrap(), 55);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is made before spawn"]
pub struct Builder {
    name: Option<Arc<str>>,
    stack_size: Option<usize>,
}

/// There is no memory for a goroutine, or its stack would be larger than any can be (16 GiB). The
/// closure has been dropped, and did not run.
///
/// ```
/// use alloc::format;
/// use gosched::Builder;
///
/// let error = Builder::new().stack_size(1 << 40).spawn(|| ()).expect_err("that is too much");
/// let text = format!("{error}");
/// assert_eq!(text, "out of memory for a goroutine with 1099511627776 bytes of stack");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnError {
    stack_size: usize,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "out of memory for a goroutine with {} bytes of stack",
            self.stack_size
        )
    }
}

impl Error for SpawnError {}

impl Builder {
    /// A goroutine without a name and with a stack of the usual size: what [`spawn`](crate::spawn)
    /// makes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its name, which dumps and the shell's `ps` show. Allocates it.
    ///
    /// ```
    /// use alloc::format;
    /// use gosched::Builder;
    ///
    /// for i in 0..3 {
    ///     Builder::new().name(format!("worker-{i}")).spawn(|| ()).expect("there is memory");
    /// }
    /// ```
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The least size of its stack in bytes. Without it, and for all that is less, 252 KiB. Only
    /// what is used takes memory: the rest is addresses.
    ///
    /// ```
    /// use gosched::Builder;
    ///
    /// let large = Builder::new().stack_size(64 << 20).spawn(|| [0u8; 1 << 20].len());
    /// assert_eq!(large.expect("there is memory").join().unwrap(), 1 << 20);
    /// ```
    pub fn stack_size(mut self, size: usize) -> Self {
        self.stack_size = Some(size);
        self
    }

    /// Starts the goroutine (std: `Builder::spawn`).
    ///
    /// # Errors
    /// No memory for it; `f` is dropped without having run.
    #[inline(never)]
    pub fn spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let gopc = caller_pc!();
        // SAFETY: nothing is borrowed that ends.
        unsafe { self.start(f, None, gopc) }.map(JoinHandle)
    }

    /// Starts a goroutine of a scope (std: `Builder::spawn_scoped`).
    ///
    /// # Errors
    /// As for [`Builder::spawn`].
    ///
    /// ```
    /// use gosched::{Builder, scope};
    ///
    /// let words = ["park", "unpark"];
    /// scope(|s| {
    ///     let counter = Builder::new().name("counter");
    ///     let count = counter.spawn_scoped(s, || words.len()).expect("there is memory");
    ///     assert_eq!(count.join().unwrap(), 2);
    /// });
    /// ```
    #[inline(never)]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> Result<ScopedJoinHandle<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let gopc = caller_pc!();
        // SAFETY: the scope is not left before the goroutine has ended.
        unsafe { self.start(f, Some(&scope.family), gopc) }.map(ScopedJoinHandle)
    }

    /// Starts a goroutine that counts as one of `family`, from the `go` statement at `gopc`.
    ///
    /// # Safety
    /// `'scope` lasts until the goroutine, and what it returns, are gone.
    pub(super) unsafe fn start<'scope, F, T>(
        self,
        f: F,
        family: Option<&'scope Family>,
        gopc: usize,
    ) -> Result<Join<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let Self { name, stack_size } = self;
        let error = SpawnError {
            stack_size: stack_size.unwrap_or(stack::DEFAULT_SIZE),
        };
        let Some((half, handle)) = packet::packet(family) else {
            return Err(error);
        };
        let attributes = Attributes {
            name: name.clone(),
            stack_size,
            gopc,
            ..Attributes::default()
        };
        // SAFETY: the caller's promise.
        let created = unsafe { newproc::newproc_unchecked(move || half.run(f), attributes) };
        match created {
            Ok(created) => Ok(Join {
                goroutine: Goroutine::new(created, name),
                handle,
            }),
            Err(newproc::OutOfMemory) => Err(error),
        }
    }
}

/// The goroutine, or the image's end: for those who have no error to return.
pub(super) fn or_out_of_memory<J>(spawned: Result<J, SpawnError>) -> J {
    match spawned {
        Ok(handle) => handle,
        Err(error) => fatal::out_of_memory(error.stack_size),
    }
}
