//! The errors of channels: crossbeam-channel's texts, methods and conversions, to the letter.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::error::Error;
use core::fmt;

use gosched::chan::{
    self, ReadyTimeoutError, RecvError, RecvTimeoutError, Select, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};

/// A value that is neither `Debug`, `Clone` nor comparable.
struct Opaque;

fn texts(error: impl fmt::Display + fmt::Debug) -> (String, String) {
    (format!("{error}"), format!("{error:?}"))
}

macro_rules! assert_texts {
    ($($error:expr => $display:literal, $debug:literal;)+) => {
        $(assert_eq!(texts($error), ($display.to_string(), $debug.to_string()));)+
    };
}

/// A text that logs and tests elsewhere compare with. The value is not shown, so it need not be
/// `Debug`; what stands for it is in quotes in crossbeam.
#[gosched::test]
fn texts_are_crossbeams() {
    assert_texts! {
        SendError(Opaque) => "sending on a disconnected channel", r#""SendError(..)""#;
        TrySendError::Full(Opaque) => "sending on a full channel", r#""Full(..)""#;
        TrySendError::Disconnected(Opaque)
            => "sending on a disconnected channel", r#""Disconnected(..)""#;
        SendTimeoutError::Timeout(Opaque)
            => "timed out waiting on send operation", r#""SendTimeoutError(..)""#;
        SendTimeoutError::Disconnected(Opaque)
            => "sending on a disconnected channel", r#""SendTimeoutError(..)""#;
        RecvError => "receiving on an empty and disconnected channel", "RecvError";
        TryRecvError::Empty => "receiving on an empty channel", "Empty";
        TryRecvError::Disconnected
            => "receiving on an empty and disconnected channel", "Disconnected";
        RecvTimeoutError::Timeout => "timed out waiting on receive operation", "Timeout";
        RecvTimeoutError::Disconnected
            => "channel is empty and disconnected", "Disconnected";
        TrySelectError => "all operations in select would block", "TrySelectError";
        SelectTimeoutError => "timed out waiting on select", "SelectTimeoutError";
    }
    assert_eq!(
        format!("{TryReadyError:?} {ReadyTimeoutError:?}"),
        "TryReadyError ReadyTimeoutError"
    );
}

/// Texts that do not obey a width, which `write_str` forgets.
#[gosched::test]
fn texts_can_be_padded() {
    assert_eq!(
        format!("{:>35}|", SendError(1)),
        "  sending on a disconnected channel|"
    );
    assert_eq!(
        format!("{:30}|", TryRecvError::Empty),
        "receiving on an empty channel |"
    );
}

/// A method that is true for the wrong variant, or an `into_inner` that loses the value.
#[gosched::test]
fn methods_tell_the_variants_apart() {
    assert_eq!(SendError("a").into_inner(), "a");
    let (full, gone) = (TrySendError::Full(1), TrySendError::Disconnected(2));
    assert!(full.is_full() && !full.is_disconnected());
    assert!(!gone.is_full() && gone.is_disconnected());
    assert_eq!((full.into_inner(), gone.into_inner()), (1, 2));
    let (late, gone) = (
        SendTimeoutError::Timeout(3),
        SendTimeoutError::Disconnected(4),
    );
    assert!(late.is_timeout() && !late.is_disconnected());
    assert!(!gone.is_timeout() && gone.is_disconnected());
    assert_eq!((late.into_inner(), gone.into_inner()), (3, 4));
    assert!(TryRecvError::Empty.is_empty() && !TryRecvError::Empty.is_disconnected());
    assert!(!TryRecvError::Disconnected.is_empty() && TryRecvError::Disconnected.is_disconnected());
    assert!(RecvTimeoutError::Timeout.is_timeout());
    assert!(!RecvTimeoutError::Timeout.is_disconnected());
    assert!(!RecvTimeoutError::Disconnected.is_timeout());
    assert!(RecvTimeoutError::Disconnected.is_disconnected());
}

/// `?` in a function that returns the wider error must compile, and mean "disconnected".
#[gosched::test]
fn narrow_errors_become_wider_ones() {
    fn recv_as_try() -> Result<u8, TryRecvError> {
        let (tx, rx) = chan::bounded(1);
        drop(tx);
        Ok(rx.recv()?)
    }
    fn recv_as_timeout() -> Result<u8, RecvTimeoutError> {
        let (tx, rx) = chan::unbounded();
        drop(tx);
        Ok(rx.recv()?)
    }
    fn send_as_try() -> Result<(), TrySendError<u8>> {
        let (tx, rx) = chan::bounded(1);
        drop(rx);
        Ok(tx.send(7)?)
    }
    fn send_as_timeout() -> Result<(), SendTimeoutError<u8>> {
        let (tx, rx) = chan::bounded(1);
        drop(rx);
        Ok(tx.send(8)?)
    }
    assert_eq!(recv_as_try(), Err(TryRecvError::Disconnected));
    assert_eq!(recv_as_timeout(), Err(RecvTimeoutError::Disconnected));
    assert_eq!(send_as_try(), Err(TrySendError::Disconnected(7)));
    assert_eq!(send_as_timeout(), Err(SendTimeoutError::Disconnected(8)));
}

/// `Box<dyn Error>` is what programs return; it must take each of them, with its text.
#[gosched::test]
fn all_that_have_a_text_are_errors() {
    let errors: [Box<dyn Error>; 8] = [
        Box::new(SendError(Opaque)),
        Box::new(TrySendError::Full(Opaque)),
        Box::new(SendTimeoutError::Timeout(Opaque)),
        Box::new(RecvError),
        Box::new(TryRecvError::Empty),
        Box::new(RecvTimeoutError::Timeout),
        Box::new(TrySelectError),
        Box::new(SelectTimeoutError),
    ];
    for error in errors {
        assert!(!error.to_string().is_empty() && error.source().is_none());
    }
    fn receives() -> Result<u8, Box<dyn Error>> {
        let (_tx, rx) = chan::bounded(0);
        Ok(rx.try_recv()?)
    }
    assert_eq!(
        receives().unwrap_err().to_string(),
        "receiving on an empty channel"
    );
}

/// Derives that programs use: comparing with a constructed error, copying it.
#[gosched::test]
fn errors_compare_and_copy() {
    fn plain<T: PartialEq + Eq + Clone + Copy + fmt::Debug>(error: T) {
        let copy = error;
        assert_eq!(error, copy.clone());
    }
    plain(SendError(1));
    plain(TrySendError::Full(1));
    plain(SendTimeoutError::Timeout(1));
    plain(RecvError);
    plain(TryRecvError::Empty);
    plain(RecvTimeoutError::Timeout);
    plain(TrySelectError);
    plain(SelectTimeoutError);
    plain(TryReadyError);
    plain(ReadyTimeoutError);
    assert_ne!(TrySendError::Full(1), TrySendError::Disconnected(1));
    assert_ne!(SendError(1), SendError(2));
}

/// Each form of select says which one it was.
#[gosched::test]
fn select_returns_its_own_errors() {
    let (_tx, rx) = chan::bounded::<u8>(0);
    let mut select = Select::new();
    select.recv(&rx);
    let none = core::time::Duration::ZERO;
    let now = gosched::time::Instant::now();
    assert_eq!(select.try_select().unwrap_err(), TrySelectError);
    assert_eq!(select.select_timeout(none).unwrap_err(), SelectTimeoutError);
    assert_eq!(select.select_deadline(now).unwrap_err(), SelectTimeoutError);
    assert_eq!(select.try_ready().unwrap_err(), TryReadyError);
    assert_eq!(select.ready_timeout(none).unwrap_err(), ReadyTimeoutError);
    assert_eq!(select.ready_deadline(now).unwrap_err(), ReadyTimeoutError);
}

gosched::test_main!();
