//! `Local` and `goroutine_local!`: values of which each goroutine has its own (std: `LocalKey`,
//! `thread_local!`).
//!
//! # Where they are
//!
//! A goroutine that uses a local for the first time gets a [`Locals`], and for each local that it
//! uses a [`Node`] with the value, allocated singly since references to values are out while others
//! come. The G has a pointer to the first; a goroutine that uses none has nothing, and pays
//! nothing. A local is known by the address of its static. Looking it up goes through the nodes,
//! latest first: cheap for the handful that a goroutine uses, and the list needs neither numbers
//! for the keys nor a table.
//!
//! # The life of a node
//!
//! ```text
//! none ── first use: the initializer returned ──▶ alive ── goroutine's end ──▶ dropped ──▶ freed
//! ```
//!
//! At the end (`sched::defer`) values are dropped, latest first. A destructor may use other locals:
//! those that are alive; those that were never used, which are dropped in their turn; of one that
//! is being dropped or was, it gets [`AccessError`]. The nodes are freed when no value is left. A
//! destructor that calls `goexit` leaves the rest to the end that it begins.
//!
//! All of it belongs to its goroutine alone, on whatever CPU that runs.

use alloc::boxed::Box;
use core::cell::{Cell, RefCell, UnsafeCell};
use core::error::Error;
use core::fmt;
use core::mem::{self, ManuallyDrop};
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use crate::sched::defer::{self, Deferred};
use crate::sched::g::getg;

/// A value that each goroutine has its own of: what
/// [`goroutine_local!`](crate::goroutine_local) declares (std: `LocalKey`).
///
/// An access looks through the locals that this goroutine has used so far, latest first; the first
/// one allocates.
pub struct Local<T: 'static> {
    init: fn() -> T,
}

/// The goroutine ends, and this local of it has been dropped, or is just being dropped.
///
/// ```
/// use gosched::{AccessError, goroutine_local};
///
/// goroutine_local!(static DEPTH: u32 = 1);
/// let depth: Result<u32, AccessError> = DEPTH.try_with(|depth| *depth);
/// assert_eq!(depth, Ok(1));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a goroutine local is destroyed already")
    }
}

impl Error for AccessError {}

/// Declares statics of which each goroutine has its own value (std: `thread_local!`). The value is
/// made by the goroutine's first access and dropped when the goroutine ends, by return or by
/// `runtime::goexit`; that of the main goroutine when `main` returns. A goroutine keeps its values
/// wherever it runs. A coroutine is a goroutine of its own, with locals of its own.
///
/// ```
/// use alloc::vec::Vec;
/// use core::cell::{Cell, RefCell};
/// use gosched::{goroutine_local, spawn};
///
/// goroutine_local! {
///     /// How often this goroutine has asked.
///     pub static ASKED: Cell<u32> = const { Cell::new(0) };
///     static WORDS: RefCell<Vec<&'static str>> = RefCell::new(Vec::new());
/// }
///
/// ASKED.set(ASKED.get() + 1);
/// WORDS.with_borrow_mut(|words| words.push("park"));
/// assert_eq!(spawn(|| ASKED.get()).join().unwrap(), 0);
/// assert_eq!(WORDS.take(), ["park"]);
/// ```
#[macro_export]
macro_rules! goroutine_local {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $t:ty = const $init:block
        $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $vis static $name: $crate::Local<$t> = $crate::Local::__new({
            const INIT: $t = $init;
            fn init() -> $t {
                INIT
            }
            init
        });
        $($crate::goroutine_local!($($rest)*);)?
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $t:ty = $init:expr
        $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $vis static $name: $crate::Local<$t> = $crate::Local::__new({
            fn init() -> $t {
                $init
            }
            init
        });
        $($crate::goroutine_local!($($rest)*);)?
    };
}

/// The locals of a goroutine that has used one.
#[repr(C)]
struct Locals {
    /// First: its address is that of the whole.
    at_end: Deferred,
    /// Latest first.
    first: Cell<*mut Head>,
}

/// What is known of a node without its type.
#[repr(C)]
struct Head {
    /// Address of the static.
    key: *const (),
    next: *mut Head,
    alive: Cell<bool>,
    /// How many `with`s have not returned. If the goroutine ends in one, its frames, which were
    /// just using the value, are abandoned: who knows what state it is in. It is left alone then.
    uses: Cell<usize>,
    drop_value: unsafe fn(*mut Head),
    free: unsafe fn(*mut Head),
}

/// One local of one goroutine.
#[repr(C)]
struct Node<T> {
    /// First: its address is the node's.
    head: Head,
    /// There while the head says alive, and until its destructor has returned.
    value: UnsafeCell<ManuallyDrop<T>>,
}

/// The locals of the calling goroutine, if it has used one.
fn locals() -> Option<&'static Locals> {
    let locals = getg().locals.load(Ordering::Relaxed).cast::<Locals>();
    // SAFETY: `locals_or_new` stored it; it is freed at the end of the goroutine, after the last
    // destructor of a local has run, and nobody keeps the reference across one.
    unsafe { locals.as_ref() }
}

fn locals_or_new() -> &'static Locals {
    if let Some(locals) = locals() {
        return locals;
    }
    let new = Box::into_raw(Box::new(Locals {
        at_end: Deferred::new(end),
        first: Cell::new(ptr::null_mut()),
    }));
    getg().locals.store(new.cast(), Ordering::Relaxed);
    // SAFETY: fresh, first field, and freed by `end` alone.
    unsafe {
        defer::push(NonNull::new_unchecked(new).cast());
        &*new
    }
}

impl Locals {
    fn find(&self, wanted: impl Fn(&Head) -> bool) -> Option<NonNull<Head>> {
        let mut at = self.first.get();
        while let Some(head) = NonNull::new(at) {
            // SAFETY: nodes are freed with the list alone.
            let found = unsafe { head.as_ref() };
            if wanted(found) {
                return Some(head);
            }
            at = found.next;
        }
        None
    }
}

/// At the end of the goroutine: drops all values, and frees the nodes and the whole.
unsafe fn end(at_end: NonNull<Deferred>) {
    // A destructor may call goexit, whose end then goes on with those that are left.
    // SAFETY: it is in no list now, and stays until it is removed below.
    unsafe { defer::push(at_end) };
    while let Some(head) = locals().and_then(|locals| locals.find(|head| head.alive.get())) {
        // SAFETY: the node is alive, and not dropped twice.
        unsafe {
            head.as_ref().alive.set(false);
            if head.as_ref().uses.get() == 0 {
                (head.as_ref().drop_value)(head.as_ptr());
            }
        }
    }
    defer::remove(at_end);
    getg().locals.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: made by `locals_or_new`, and out of everybody's reach now.
    let locals = unsafe { Box::from_raw(at_end.cast::<Locals>().as_ptr()) };
    let mut at = locals.first.get();
    while let Some(head) = NonNull::new(at) {
        // SAFETY: each node once.
        unsafe {
            at = head.as_ref().next;
            (head.as_ref().free)(head.as_ptr());
        }
    }
}

unsafe fn drop_value<T>(head: *mut Head) {
    // SAFETY: the head is that of a `Node<T>`, whose value nobody else reaches: it is not alive.
    // Dropped where it is, as std's: it may have been told its address.
    unsafe { ManuallyDrop::drop(&mut *(*head.cast::<Node<T>>()).value.get()) };
}

unsafe fn free<T>(head: *mut Head) {
    // SAFETY: made by `insert`; the caller frees it once.
    drop(unsafe { Box::from_raw(head.cast::<Node<T>>()) });
}

impl<T: 'static> Local<T> {
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T) -> Self {
        Self { init }
    }

    fn key(&'static self) -> *const () {
        ptr::from_ref(self).cast()
    }

    fn node(&'static self) -> Option<NonNull<Node<T>>> {
        let key = self.key();
        let head = locals()?.find(|head| ptr::eq(head.key, key))?;
        Some(head.cast())
    }

    /// The goroutine's value, which `init` makes if there is none yet.
    fn get_or_init(
        &'static self,
        init: impl FnOnce() -> T,
    ) -> Result<NonNull<Node<T>>, AccessError> {
        let node = match self.node() {
            Some(node) => node,
            None => self.insert(init()),
        };
        // SAFETY: nodes stay until the goroutine ends; only it reads and writes them.
        let alive = unsafe { node.as_ref() }.head.alive.get();
        alive.then_some(node).ok_or(AccessError)
    }

    fn insert(&'static self, value: T) -> NonNull<Node<T>> {
        // The initializer may have come here before, for the same local: the later one counts, and
        // nobody refers to the earlier any more.
        if let Some(node) = self.node() {
            // SAFETY: as in `get_or_init`. It is alive: a goexit would not have returned here.
            drop(mem::replace(
                unsafe { &mut **node.as_ref().value.get() },
                value,
            ));
            return node;
        }
        let locals = locals_or_new();
        let node = Box::into_raw(Box::new(Node {
            head: Head {
                key: self.key(),
                next: locals.first.get(),
                alive: Cell::new(true),
                uses: Cell::new(0),
                drop_value: drop_value::<T>,
                free: free::<T>,
            },
            value: UnsafeCell::new(ManuallyDrop::new(value)),
        }));
        locals.first.set(node.cast());
        // SAFETY: a box is not null.
        unsafe { NonNull::new_unchecked(node) }
    }

    /// Calls `f` with the goroutine's value, which is made now if there is none yet.
    ///
    /// # Panics
    /// If the goroutine ends and the value is dropped already, or just being dropped.
    ///
    /// ```
    /// use alloc::string::String;
    /// use gosched::goroutine_local;
    ///
    /// goroutine_local!(static NAME: String = String::from("gopher"));
    /// assert_eq!(NAME.with(|name| name.len()), 6);
    /// ```
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => refuse(error),
        }
    }

    /// [`Local::with`] that does not panic.
    ///
    /// # Errors
    /// The goroutine ends and the value is dropped already, or just being dropped.
    ///
    /// ```
    /// use gosched::goroutine_local;
    ///
    /// goroutine_local!(static DEPTH: u32 = 3);
    /// assert_eq!(DEPTH.try_with(|depth| depth + 1), Ok(4));
    /// ```
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let node = self.get_or_init(self.init)?;
        // SAFETY: nodes stay until the goroutine ends, which is not before `f` has returned or is
        // abandoned; exclusive references are made of dead values only, and in `insert`.
        let (uses, value) = unsafe { (&node.as_ref().head.uses, &*node.as_ref().value.get()) };
        uses.set(uses.get() + 1);
        let result = f(value);
        uses.set(uses.get() - 1);
        Ok(result)
    }

    /// Calls `f` with the value and with `new`, unless `new` has become the value itself.
    #[track_caller]
    fn initialize_with<R>(&'static self, new: T, f: impl FnOnce(Option<T>, &T) -> R) -> R {
        let mut new = Some(new);
        let init = || new.take().expect("it is taken once");
        match self.get_or_init(init) {
            // SAFETY: as in `try_with`.
            Ok(node) => f(new, unsafe { &*node.as_ref().value.get() }),
            Err(error) => refuse(error),
        }
    }
}

#[cold]
#[track_caller]
fn refuse(error: AccessError) -> ! {
    panic!("cannot access a goroutine local during or after its destruction: {error:?}")
}

/// As std's, these panic where [`Local::with`] does.
impl<T: 'static> Local<Cell<T>> {
    /// Sets the value. If the goroutine has none yet, the initializer is not run.
    ///
    /// ```
    /// use core::cell::Cell;
    /// use gosched::goroutine_local;
    ///
    /// goroutine_local!(static ID: Cell<u32> = panic!("it is set first"));
    /// ID.set(7);
    /// assert_eq!(ID.get(), 7);
    /// ```
    pub fn set(&'static self, value: T) {
        self.initialize_with(Cell::new(value), |value, cell| {
            if let Some(value) = value {
                cell.set(value.into_inner());
            }
        });
    }

    /// A copy of the value.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value and leaves `T::default()`.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the value and returns the old one.
    ///
    /// ```
    /// use core::cell::Cell;
    /// use gosched::goroutine_local;
    ///
    /// goroutine_local!(static DEPTH: Cell<u32> = const { Cell::new(1) });
    /// assert_eq!((DEPTH.replace(2), DEPTH.take(), DEPTH.get()), (1, 2, 0));
    /// ```
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// As std's, these panic where [`Local::with`] and the `RefCell` do.
impl<T: 'static> Local<RefCell<T>> {
    /// Calls `f` with the value.
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the value, which it may change.
    ///
    /// ```
    /// use alloc::vec::Vec;
    /// use core::cell::RefCell;
    /// use gosched::goroutine_local;
    ///
    /// goroutine_local!(static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) });
    /// SEEN.with_borrow_mut(|seen| seen.push(3));
    /// assert_eq!(SEEN.with_borrow(|seen| seen.len()), 1);
    /// ```
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value. If the goroutine has none yet, the initializer is not run.
    pub fn set(&'static self, value: T) {
        self.initialize_with(RefCell::new(value), |value, cell| {
            if let Some(value) = value {
                *cell.borrow_mut() = value.into_inner();
            }
        });
    }

    /// Takes the value and leaves `T::default()`.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the value and returns the old one.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}
