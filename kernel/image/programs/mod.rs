//! Programs for `run` that take arguments, and that the tour works with.
//!
//! Each is a function that does real work and returns what came out, so that its caller can check
//! it; the entry in the shell's registry reads arguments and prints. A program returns when its
//! work is done: there is nothing that could stop it from outside.

mod crowd;
pub(crate) mod hog;
pub(crate) mod pingpong;
pub(crate) mod primes;
mod ring;
mod sieve;

use gosched::shell::Misuse;

/// The arguments as numbers; those that are not given are as in `defaults`.
fn numbers<const N: usize>(args: &[&str], defaults: [u64; N]) -> Result<[u64; N], Misuse> {
    let mut numbers = defaults;
    if args.len() > N {
        return Err(Misuse);
    }
    for (number, word) in numbers.iter_mut().zip(args) {
        *number = word.parse().map_err(|_| Misuse)?;
    }
    Ok(numbers)
}
