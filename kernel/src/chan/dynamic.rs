//! Selecting over a list of operations made at run time: crossbeam's `Select`.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::time::Duration;

use crate::base::instant::Instant;
use crate::chan::erased::{ErasedSlot, Side};
use crate::chan::error::{
    ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError,
};
use crate::chan::raw::{Op, slot};
use crate::chan::select::{self, Case};
use crate::chan::{Receiver, Sender};
use crate::sched::wait::Limit;

struct Operation<'a> {
    side: &'a dyn Side,
    index: usize,
    /// Kept from one select to the next, until a value is in it.
    slot: Option<ErasedSlot>,
}

/// Channel operations of which one is to be done, when their number is known only at run time; else
/// see [`select!`](crate::select). As `crossbeam_channel::Select`.
///
/// First add operations, each of which gets an index, then select: the operation that was selected
/// **must** be completed with [`SelectedOperation::send`] or [`SelectedOperation::recv`], with the
/// same side of the same channel. The `ready` family only says which operation would not wait.
///
/// A select allocates while it learns its size, and a received value's place once for each value.
///
/// ```
/// use gosched::chan::{self, Select};
///
/// let (s1, r1) = chan::unbounded();
/// let (_s2, r2) = chan::unbounded::<i32>();
/// s1.send(10).unwrap();
/// let mut sel = Select::new();
/// let first = sel.recv(&r1);
/// let second = sel.recv(&r2);
/// let operation = sel.select();
/// match operation.index() {
///     i if i == first => assert_eq!(operation.recv(&r1), Ok(10)),
///     i if i == second => unreachable!("nothing was sent there: {:?}", operation.recv(&r2)),
///     _ => unreachable!(),
/// }
/// ```
pub struct Select<'a> {
    operations: Vec<Operation<'a>>,
    next_index: usize,
    biased: bool,
    // Room for one select's cases and their orders.
    cases: Vec<Case<'a>>,
    order: Vec<u32>,
}

// SAFETY: what a case points to is in this struct's boxes and used only while a select runs; the
// values in them are taken out by whoever completes the operation, so they move with the channel's
// sides, which are Send and Sync for T: Send, the only T whose channels other goroutines can have.
unsafe impl Send for Select<'_> {}
// SAFETY: all that changes anything takes `&mut self`.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// No operations; if several are ready, one is chosen at random.
    pub fn new() -> Self {
        Self {
            operations: Vec::new(),
            next_index: 0,
            biased: false,
            cases: Vec::new(),
            order: Vec::new(),
        }
    }

    /// No operations; if several are ready, the one that was added first is chosen.
    ///
    /// ```
    /// use gosched::chan::{self, Select};
    ///
    /// let (s, r) = chan::unbounded();
    /// s.send(1).unwrap();
    /// let mut sel = Select::new_biased();
    /// let (first, _second) = (sel.recv(&r), sel.send(&s));
    /// let operation = sel.select();
    /// assert_eq!(operation.index(), first);
    /// assert_eq!(operation.recv(&r), Ok(1));
    /// ```
    pub fn new_biased() -> Self {
        Self {
            biased: true,
            ..Self::new()
        }
    }

    /// Adds a send. Its index.
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(s)
    }

    /// Adds a receive. Its index.
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        self.add(r)
    }

    fn add(&mut self, side: &'a dyn Side) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.operations.push(Operation {
            side,
            index,
            slot: None,
        });
        index
    }

    /// Removes an operation, for instance because its channel is disconnected and so always ready.
    /// The other indices stay.
    ///
    /// # Panics
    /// There was never an operation with this index, or it is removed already.
    ///
    /// ```
    /// use gosched::chan::{self, Select};
    ///
    /// let ((_, closed), (s, open)) = (chan::bounded::<i32>(0), chan::bounded(1));
    /// let mut sel = Select::new();
    /// let (first, second) = (sel.recv(&closed), sel.recv(&open));
    /// sel.remove(first); // or it would be selected again and again
    /// s.send(7).unwrap();
    /// let operation = sel.select();
    /// assert_eq!(operation.index(), second);
    /// assert_eq!(operation.recv(&open), Ok(7));
    /// ```
    pub fn remove(&mut self, index: usize) {
        assert!(
            index < self.next_index,
            "index out of bounds; {index} >= {}",
            self.next_index
        );
        let place = self
            .operations
            .iter()
            .position(|operation| operation.index == index)
            .expect("no operation with this index");
        self.operations.remove(place);
    }

    /// Selects one of the operations that are ready.
    ///
    /// # Errors
    /// None is.
    ///
    /// # Panics
    /// As [`SelectedOperation`], when that is not completed.
    ///
    /// ```
    /// use gosched::chan::{self, Select, TrySelectError};
    ///
    /// let (_s, r) = chan::bounded::<i32>(1);
    /// let mut sel = Select::new();
    /// sel.recv(&r);
    /// assert_eq!(sel.try_select().err(), Some(TrySelectError));
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.run(Limit::Now).ok_or(TrySelectError)
    }

    /// Waits until an operation is ready, and selects it.
    ///
    /// # Panics
    /// There are no operations.
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.assert_not_empty();
        let selected = self.run(Limit::Forever);
        selected.expect("a select without a limit ends with an operation")
    }

    /// Waits at most `timeout` until an operation is ready, and selects it.
    ///
    /// # Errors
    /// Time is up.
    ///
    /// ```
    /// use core::time::Duration;
    /// use gosched::chan::{self, Select, SelectTimeoutError};
    ///
    /// let (_s, r) = chan::bounded::<i32>(1);
    /// let mut sel = Select::new();
    /// sel.recv(&r);
    /// let timeout = Duration::from_millis(1);
    /// assert_eq!(sel.select_timeout(timeout).err(), Some(SelectTimeoutError));
    /// ```
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::after(timeout)).ok_or(SelectTimeoutError)
    }

    /// Waits until `deadline` for an operation to be ready, and selects it.
    ///
    /// # Errors
    /// Time is up.
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::until(deadline)).ok_or(SelectTimeoutError)
    }

    /// The index of an operation that would not wait now. Somebody else may be faster, so use
    /// `try_send` or `try_recv` afterwards.
    ///
    /// # Errors
    /// All would wait.
    ///
    /// ```
    /// use gosched::chan::{self, Select};
    ///
    /// let (s, r) = chan::unbounded();
    /// let mut sel = Select::new();
    /// let index = sel.recv(&r);
    /// assert!(sel.try_ready().is_err());
    /// s.send(1).unwrap();
    /// assert_eq!(sel.try_ready(), Ok(index));
    /// assert_eq!(r.try_recv(), Ok(1));
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.watch(Limit::Now).ok_or(TryReadyError)
    }

    /// Waits until an operation would not wait. Its index.
    ///
    /// # Panics
    /// There are no operations.
    ///
    /// ```
    /// use gosched::chan::{self, Select};
    ///
    /// let (s, r) = chan::bounded::<i32>(1);
    /// gosched::go(move || s.send(5).unwrap());
    /// let mut sel = Select::new();
    /// let index = sel.recv(&r);
    /// assert_eq!(sel.ready(), index);
    /// assert_eq!(r.try_recv(), Ok(5)); // nobody else receives here
    /// ```
    pub fn ready(&mut self) -> usize {
        self.assert_not_empty();
        self.watch(Limit::Forever)
            .expect("a wait without a limit ends with an operation")
    }

    /// Waits at most `timeout` until an operation would not wait. Its index.
    ///
    /// # Errors
    /// Time is up.
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(Limit::after(timeout)).ok_or(ReadyTimeoutError)
    }

    /// Waits until `deadline` for an operation that would not wait. Its index.
    ///
    /// # Errors
    /// Time is up.
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.watch(Limit::until(deadline)).ok_or(ReadyTimeoutError)
    }

    /// Without operations, and free of the channels it knew; its memory is used again.
    pub fn recycle<'b>(mut self) -> Select<'b> {
        self.order.clear();
        Select {
            biased: self.biased,
            order: self.order,
            ..Select::new()
        }
    }

    fn assert_not_empty(&self) {
        assert!(
            !self.operations.is_empty(),
            "no operations have been added to `Select`"
        );
    }

    fn run(&mut self, limit: Limit) -> Option<SelectedOperation<'a>> {
        self.cases.clear();
        for operation in &mut self.operations {
            let side = operation.side;
            if operation.slot.is_none() {
                operation.slot = side.new_slot();
            }
            let elem = operation
                .slot
                .as_ref()
                .map_or(core::ptr::null_mut(), |slot| slot.elem());
            // SAFETY: the slot is one for this side's values, and stays in its box.
            let case = unsafe { Case::new(side.channel(), side.op(), elem) };
            self.cases.push(case);
        }
        let place = self.choose(limit)?;
        let operation = &mut self.operations[place];
        let outcome = match (self.cases[place].grant(), operation.slot.take()) {
            (Some(grant), _) => Outcome::Granted(grant),
            (None, slot) => Outcome::Received(slot.expect("a receive has a slot")),
        };
        let channel = operation.side.channel();
        Some(SelectedOperation {
            index: operation.index,
            key: channel.map_or(0, |channel| channel.key()),
            outcome,
            unfinished: PhantomData,
        })
    }

    fn watch(&mut self, limit: Limit) -> Option<usize> {
        self.cases.clear();
        for operation in &self.operations {
            let op = match operation.side.op() {
                Op::Recv => Op::WatchRecv,
                _ => Op::WatchSend,
            };
            // SAFETY: who watches needs no slot.
            let case = unsafe { Case::new(operation.side.channel(), op, core::ptr::null_mut()) };
            self.cases.push(case);
        }
        let place = self.choose(limit)?;
        Some(self.operations[place].index)
    }

    fn choose(&mut self, limit: Limit) -> Option<usize> {
        self.order.resize(2 * self.cases.len(), 0);
        select::select(&mut self.cases, &mut self.order, self.biased, limit)
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        let operations = self.operations.iter().map(|operation| Operation {
            side: operation.side,
            index: operation.index,
            slot: None,
        });
        Self {
            operations: operations.collect(),
            next_index: self.next_index,
            biased: self.biased,
            cases: Vec::new(),
            order: Vec::new(),
        }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

enum Outcome {
    /// A value, or none: disconnected.
    Received(ErasedSlot),
    /// The place for the value to send.
    Granted(*mut ()),
}

/// An operation that was selected and must be completed.
///
/// # Panics
/// When it is dropped instead: the other side may be waiting for its value.
#[must_use = "the operation is to be completed"]
pub struct SelectedOperation<'a> {
    index: usize,
    key: usize,
    outcome: Outcome,
    /// Completed by the goroutine that selected.
    unfinished: PhantomData<(*mut (), &'a ())>,
}

impl SelectedOperation<'_> {
    /// Which one it is: what `Select::send` or `Select::recv` returned.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Completes a send. It does not wait.
    ///
    /// # Errors
    /// The channel is disconnected; the value comes back.
    ///
    /// # Panics
    /// This is not the side that was selected.
    ///
    /// ```
    /// use gosched::chan::{self, Select};
    ///
    /// let (s, r) = chan::bounded(1);
    /// let mut sel = Select::new();
    /// sel.send(&s);
    /// sel.select().send(&s, "the value is named last").unwrap();
    /// assert_eq!(r.recv(), Ok("the value is named last"));
    /// ```
    pub fn send<T>(self, s: &Sender<T>, value: T) -> Result<(), SendError<T>> {
        let this = ManuallyDrop::new(self);
        match &this.outcome {
            Outcome::Granted(grant) if s.select_chan().key() == this.key => {
                s.complete(*grant, value)
            }
            _ => panic!("passed a sender that wasn't selected"),
        }
    }

    /// Completes a receive. It does not wait.
    ///
    /// # Errors
    /// The channel is empty and disconnected.
    ///
    /// # Panics
    /// This is not the side that was selected.
    pub fn recv<T>(self, r: &Receiver<T>) -> Result<T, RecvError> {
        let mut this = ManuallyDrop::new(self);
        let outcome =
            core::mem::replace(&mut this.outcome, Outcome::Granted(core::ptr::null_mut()));
        let key = r.select_chan().map(|channel| channel.key());
        match outcome {
            Outcome::Received(received) if key == Some(this.key) => {
                // SAFETY: the slot was made for this channel, so for this T.
                unsafe { slot::<T>(received.elem()) }
                    .take()
                    .ok_or(RecvError)
            }
            _ => panic!("passed a receiver that wasn't selected"),
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        panic!("dropped `SelectedOperation` without completing the operation");
    }
}
