//! Host tests of the compiler's memory functions, against the host's.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use std::sync::Mutex;

use super::{REP_MIN, bcmp, memcmp, memcpy, memmove, memset};

/// Two tests must not set `REP_MIN` at once. Any value of it is right for the others.
static REP: Mutex<()> = Mutex::new(());

const LENGTHS: [usize; 12] = [
    127, 128, 129, 191, 192, 193, 255, 256, 257, 1000, 1024, 4099,
];

fn lengths() -> impl Iterator<Item = usize> {
    (0..=130).chain(LENGTHS)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn with_both_ways(f: impl Fn()) {
    let _alone = REP.lock().unwrap();
    f();
    REP_MIN.store(100, Ordering::Relaxed);
    f();
    REP_MIN.store(usize::MAX, Ordering::Relaxed);
}

#[test]
fn copies_are_exact() {
    with_both_ways(|| {
        for n in lengths() {
            for (from, to) in [(0, 0), (1, 3), (8, 5)] {
                let source = pattern(n + 16);
                let mut dst = [0xaa].repeat(n + 32);
                let at = dst[to..].as_mut_ptr();
                // SAFETY: both ranges are inside their buffers.
                let result = unsafe { memcpy(at, source[from..].as_ptr(), n) };
                assert_eq!(result, at);
                assert_eq!(dst[to..to + n], source[from..from + n]);
                let outside = dst[..to].iter().chain(&dst[to + n..]);
                assert!(
                    outside.copied().all(|byte| byte == 0xaa),
                    "{n} from {from} to {to}"
                );
            }
        }
    });
}

#[test]
fn moves_overlap() {
    with_both_ways(|| {
        for n in lengths() {
            for (from, to) in [
                (0, 0),
                (0, 1),
                (1, 0),
                (0, 15),
                (70, 0),
                (0, 70),
                (9, 500),
                (500, 9),
            ] {
                let mut buffer = pattern(n + 600);
                let mut want = buffer.clone();
                want.copy_within(from..from + n, to);
                let start = buffer.as_mut_ptr();
                // SAFETY: both ranges are inside the buffer.
                let result = unsafe { memmove(start.add(to), start.add(from), n) };
                assert_eq!(result as usize, start as usize + to);
                assert_eq!(buffer, want, "{n} from {from} to {to}");
            }
        }
    });
}

#[test]
fn fills_are_exact() {
    with_both_ways(|| {
        for n in lengths() {
            let mut buffer = pattern(n + 32);
            let mut want = buffer.clone();
            want[5..5 + n].fill(0xc3);
            let at = buffer[5..].as_mut_ptr();
            // SAFETY: the range is inside the buffer.
            let result = unsafe { memset(at, 0x1c3, n) };
            assert_eq!(result, at);
            assert_eq!(buffer, want, "{n}");
        }
    });
}

#[test]
fn comparisons_have_the_sign_of_the_first_difference() {
    for n in lengths() {
        let a = pattern(n);
        let mut b = a.clone();
        // SAFETY: both ranges are whole buffers.
        let compare = |b: &[u8]| unsafe {
            (
                memcmp(a.as_ptr(), b.as_ptr(), n).signum(),
                bcmp(a.as_ptr(), b.as_ptr(), n) == 0,
            )
        };
        assert_eq!(compare(&b), (0, true));
        for i in (0..n).step_by(1 + n / 40) {
            b[i] = b[i].wrapping_add(0x80);
            let later = b[n - 1];
            b[n - 1] = later.wrapping_add(1);
            let want = a.as_slice().cmp(&b) as i32;
            assert_eq!(compare(&b), (want, false), "{n}, {i}");
            b.copy_from_slice(&a);
        }
    }
}
