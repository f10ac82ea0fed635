//! Files for the host: named bytes that leave over the second serial port.
//!
//! `run-qemu.sh --files DIR` attaches the port and writes what comes to files in DIR. On the line:
//!
//! ```text
//! data NAME N ;\n   and N raw bytes: more of the file NAME, which begins empty
//! end NAME ;\n      the file is complete
//! ```
//!
//! Any other line means nothing. A file that never gets its `end` (the machine died) is kept by the
//! host, and named as cut off. The data of several files may come in turns.
//!
//! A port takes about a microsecond a byte under emulation and 87 on a real line, so no spin lock
//! is held: whoever writes has a permit, and others park for it. A dying kernel cannot park and
//! does not know how far a frozen writer came, but no more than what is written in [`OWED`] is
//! missing: [`seize`] sends as many line feeds. They fill up the data; those too many are empty
//! lines; and a header that was cut has no ` ;` and so is none.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloc::format;

use crate::arch;
use crate::base::file_name::is_file_name;
use crate::sched::disable;
use crate::sched::park::WaitReason;
use crate::sched::sema::Semaphore;
use crate::sched::wait::Limit;

/// Bytes of one `data`: what a dying kernel may have to fill up.
const PIECE: usize = 4096;
/// After so many bytes the writer notes how far it came.
const STEP: usize = 256;

/// The port.
static PORT: Semaphore = Semaphore::new(1);
/// One [`write()`] at a time, so that two of one name do not mix.
static WHOLE: Semaphore = Semaphore::new(1);
/// Bytes of the piece begun last that are not known to be sent: never fewer than are missing.
static OWED: AtomicUsize = AtomicUsize::new(0);
static SEIZED: AtomicBool = AtomicBool::new(false);

/// Why a file cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// There is no second serial port.
    NoPort,
    /// No name of a file ([`is_file_name`]).
    BadName,
    /// The other end takes no more; what was sent so far is there, and the file is cut off.
    Stuck,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "no second serial port: boot with run-qemu.sh --files DIR",
            Self::BadName => {
                "a file's name has up to 64 letters, digits, '.', '_' and '-', and begins with no '.'"
            }
            Self::Stuck => "the second serial port takes no more bytes",
        })
    }
}

impl core::error::Error for Error {}

/// Whether files can be written.
pub fn is_attached() -> bool {
    arch::has_second_port()
}

/// Writes a whole file. Parks while others write; takes about 1 us a byte.
///
/// # Errors
/// See [`Error`].
pub fn write(name: &str, bytes: &[u8]) -> Result<(), Error> {
    check(name)?;
    hold(&WHOLE);
    // Of a file without bytes the host must hear as well.
    let result = if bytes.is_empty() {
        piece(name, bytes)
    } else {
        append(name, bytes)
    };
    let result = result.and_then(|()| finish(name));
    let_go(&WHOLE);
    result
}

/// Adds to a file, which begins empty in each boot and is complete after [`finish`].
///
/// # Errors
/// See [`Error`].
pub fn append(name: &str, bytes: &[u8]) -> Result<(), Error> {
    check(name)?;
    bytes.chunks(PIECE).try_for_each(|part| piece(name, part))
}

/// Says that a file is complete.
///
/// # Errors
/// See [`Error`].
pub fn finish(name: &str) -> Result<(), Error> {
    check(name)?;
    hold(&PORT);
    let result = send(&format!("end {name} ;\n"), &[]);
    let_go(&PORT);
    result
}

/// From now on nobody is waited for: the others are frozen, perhaps amid a piece, which is filled
/// up. For a dying kernel.
pub(crate) fn seize() {
    if !SEIZED.swap(true, Ordering::Relaxed) {
        // A port that takes no more will say so to the next who writes.
        let _ = pay();
    }
}

/// Whether a file of this name can be written.
///
/// # Errors
/// No port, or no such name.
pub fn check(name: &str) -> Result<(), Error> {
    match (is_attached(), is_file_name(name)) {
        (false, _) => Err(Error::NoPort),
        (_, false) => Err(Error::BadName),
        _ => Ok(()),
    }
}

fn hold(semaphore: &Semaphore) {
    if !SEIZED.load(Ordering::Relaxed) {
        disable::begin_unstoppable();
        // Without a limit there is but one outcome.
        let _ = semaphore.acquire(1, Limit::Forever, WaitReason::IoWait);
    }
}

fn let_go(semaphore: &Semaphore) {
    if !SEIZED.load(Ordering::Relaxed) {
        semaphore.release(1);
        disable::end_unstoppable();
    }
}

/// One `data`.
fn piece(name: &str, bytes: &[u8]) -> Result<(), Error> {
    hold(&PORT);
    let result = send(&format!("data {name} {} ;\n", bytes.len()), bytes);
    let_go(&PORT);
    result
}

/// Sends a header and its data, after what an earlier piece left open.
fn send(header: &str, bytes: &[u8]) -> Result<(), Error> {
    pay()?;
    OWED.store(header.len() + bytes.len(), Ordering::Relaxed);
    for part in [header.as_bytes(), bytes] {
        for step in part.chunks(STEP) {
            if arch::second_port_write(step) < step.len() {
                return Err(Error::Stuck);
            }
            OWED.store(OWED.load(Ordering::Relaxed) - step.len(), Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Fills up a piece that was left open.
fn pay() -> Result<(), Error> {
    while OWED.load(Ordering::Relaxed) > 0 {
        if arch::second_port_write(b"\n") == 0 {
            return Err(Error::Stuck);
        }
        OWED.store(OWED.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }
    Ok(())
}
