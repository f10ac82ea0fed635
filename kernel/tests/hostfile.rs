//! Files for the host. `.ci/hostfile.sh` attaches the second serial port and looks at what came;
//! without it these tests see that nothing is there to write to.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use gosched::base::file_name::{MAX_FILE_NAME, is_file_name};
use gosched::observe::hostfile::{self, Error};
use gosched::{go, runtime, spawn};

/// What file `k` holds: all byte values, also line feeds.
fn contents(k: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * (k + 3)) ^ (i >> 8)) as u8).collect()
}

/// Catches pieces of two files that get into each other's data.
#[gosched::test]
fn files_of_several_goroutines_do_not_mix() {
    let writers: Vec<_> = (0..4)
        .map(|k| spawn(move || hostfile::write(&format!("whole-{k}"), &contents(k, 50_000 + k))))
        .collect();
    let stream = spawn(|| {
        contents(9, 60_000)
            .chunks(999)
            .try_for_each(|part| hostfile::append("stream", part))
            .and_then(|()| hostfile::finish("stream"))
    });
    let wanted = match hostfile::is_attached() {
        true => Ok(()),
        false => Err(Error::NoPort),
    };
    for writer in writers {
        assert_eq!(writer.join().expect("no goexit"), wanted);
    }
    assert_eq!(stream.join().expect("no goexit"), wanted);
}

/// Catches a file without bytes that the host never hears of, and one that is not begun anew.
#[gosched::test]
fn a_file_may_be_empty_and_is_replaced() {
    if hostfile::is_attached() {
        assert_eq!(hostfile::write("empty", b""), Ok(()));
        assert_eq!(hostfile::write("twice", b"the first"), Ok(()));
        assert_eq!(hostfile::write("twice", b"second\n"), Ok(()));
    }
}

/// Catches names with which the host would write somewhere else.
#[gosched::test]
fn names_are_plain() {
    let long = "x".repeat(MAX_FILE_NAME + 1);
    for name in ["", ".x", "../x", "a/b", "a b", "a\n", "ä", "a;", &long] {
        assert!(!is_file_name(name), "{name:?}");
        assert!(hostfile::write(name, b"x").is_err(), "{name:?}");
    }
    assert!(is_file_name("trace-1_a.OUT") && is_file_name(&long[1..]));
}

/// Leaves a file without its end, and the image ends amid a piece of another.
#[gosched::test]
#[ignore = "ends the image: see .ci/hostfile.sh"]
fn an_end_amid_a_file() {
    hostfile::append("open", b"all of it").expect("the port is attached");
    static PIECES: AtomicUsize = AtomicUsize::new(0);
    go(|| {
        while hostfile::append("amid", &[b'a'; 4096]).is_ok() {
            PIECES.fetch_add(1, Ordering::Relaxed);
        }
    });
    while PIECES.load(Ordering::Relaxed) == 0 {
        runtime::gosched();
    }
    go(|| panic!("amid a file"));
    gosched::park();
}

gosched::test_main!();
