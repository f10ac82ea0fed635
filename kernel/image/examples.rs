//! The examples as programs for `run`: each file of `kernel/examples/` is a module here, and its
//! `#[gosched::main]`, which is an entry of `gosched::start::MAINS`, a program by the file's name.
//!
//! When such a `main` returns, the program has ended and the image goes on. Whoever it has started
//! and not waited for goes on too. A panic ends the image, as everywhere.
//!
//! Those that `args=` chooses from are not here: they serve checks, and mostly end their image.
//! `sieve` is, but takes an argument, and so has its entry in `programs`. A host test of the
//! library (`tidy`) sees to it that no file of `kernel/examples/` is forgotten, and [`check`] that
//! the registries agree.

use gosched::shell::{Command, Misuse, PROGRAMS};
use gosched::start::{MAINS, Main};
use linkme::distributed_slice;

/// Where the examples are: what stands before the name in the path of each one's module.
const HERE: &str = concat!(module_path!(), "::");

/// Includes the examples, and enters a program for each that has an `about`.
macro_rules! examples {
    ($($name:ident: $path:literal $(= $about:literal)?;)*) => {
        $(
            #[path = $path]
            #[allow(unused_attributes, reason = "the file is also the root of a crate")]
            pub(crate) mod $name;
        )*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $($(
            const _: () = {
                #[distributed_slice(PROGRAMS)]
                static PROGRAM: Command = Command {
                    name: stringify!($name),
                    usage: "",
                    about: $about,
                    run: |args| run(stringify!($name), args),
                };
            };
        )?)*
    };
}

examples! {
    chat: "../examples/chat.rs"
        = "actors that share nothing but messages";
    daisy_chain: "../examples/daisy_chain.rs"
        = "a number goes through ten thousand goroutines in a row";
    deadlock: "../examples/deadlock.rs"
        = "two goroutines wait for each other, until Ctrl-C";
    everything: "../examples/everything.rs"
        = "every part of the library once, with checked results";
    hello: "../examples/hello.rs"
        = "ten goroutines and a channel";
    lost: "../examples/lost.rs"
        = "three goroutines are lost among a thousand others, and stay behind";
    mandelbrot: "../examples/mandelbrot.rs"
        = "the Mandelbrot set, a goroutine for each row";
    matmul: "../examples/matmul.rs"
        = "multiplies matrices on one P, then on all";
    merge_sort: "../examples/merge_sort.rs"
        = "sorts both halves at the same time";
    names: "../examples/names.rs"
        = "goroutines with names of all kinds, which stay behind";
    panic: "../examples/panic.rs"
        = "a goroutine panics: ends the image with status 2";
    philosophers: "../examples/philosophers.rs"
        = "five philosophers dine, and nobody starves";
    pipeline: "../examples/pipeline.rs"
        = "bounded stages: the slowest holds back the others";
    power_series: "../examples/power_series.rs"
        = "power series as goroutines; the cyclic ones stay behind";
    profile: "../examples/profile.rs"
        = "takes a profile of each kind, and writes them on the host";
    pub_sub: "../examples/pub_sub.rs"
        = "a broker, its topics, and a subscriber that is too slow";
    rate_limiter: "../examples/rate_limiter.rs"
        = "tokens from a bucket, at a ticker's pace";
    search: "../examples/search.rs"
        = "the first goroutine to find it cancels the others";
    sieve: "../examples/sieve.rs";
    traced: "../examples/traced.rs"
        = "tasks, regions and log lines, for a trace";
    worker_pool: "../examples/worker_pool.rs"
        = "jobs go to whoever is free, results come out in order";
}

/// The `main` of an example.
fn find(name: &str) -> Option<&'static Main> {
    MAINS
        .iter()
        .find(|main| main.module.strip_prefix(HERE) == Some(name))
}

fn run(name: &str, args: &[&str]) -> Result<(), Misuse> {
    if !args.is_empty() {
        return Err(Misuse);
    }
    let main = find(name).expect("`check` has found them all");
    (main.run)();
    Ok(())
}

/// Panics if an example has no program, or nothing that one could run.
pub(crate) fn check() {
    for name in NAMES {
        assert!(
            find(name).is_some(),
            "kernel/examples/{name}.rs has no #[gosched::main]"
        );
        let programs = PROGRAMS.iter().filter(|program| program.name == *name);
        assert_eq!(
            programs.count(),
            1,
            "there is not just one program named {name}"
        );
    }
}
