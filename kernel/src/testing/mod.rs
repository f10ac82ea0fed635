//! What `#[gosched::test]` and `#[gosched::bench]` need: the registries, and the two programs that
//! run what is in them.
//!
//! An image of `kernel/tests/` or `kernel/benches/` (`harness = false` in Cargo.toml)
//! marks its functions and ends with [`test_main!`](crate::test_main) or
//! [`bench_main!`](crate::bench_main). The marks put an entry into a section of the image
//! (linkme); the main goroutine sorts the entries by name and runs them. Arguments, output and the
//! meaning of the attributes are libtest's, so that cargo, editors and people find what they know.
//!
//! A registry that is filled before `main` by constructors, or a list that each file repeats, was
//! not chosen: the first needs code that runs before the scheduler, the second forgets tests.
//!
//! | file | idea |
//! | --- | --- |
//! | `args` | the arguments |
//! | `report` | the words |
//! | `runner` | the run of the tests |
//! | `bench` | the run of the benchmarks |
//! | `measure` | how a benchmark is timed |
//! | `rt` | what all that needs of the kernel |

mod args;
mod bench;
mod measure;
mod report;
mod rt;
mod runner;

use alloc::borrow::ToOwned;
use alloc::string::String;

use linkme::distributed_slice;

pub use bench::run_benches;
pub use measure::Bencher;
pub use runner::{report_fatal, run_tests};

/// For the code that the macros write.
#[doc(hidden)]
pub use linkme;

/// The value of a word `name=value` among the image's arguments, for a test or benchmark that can
/// be run for longer or with more: `cargo test --test NAME -- ops=1000000`.
///
/// ```
/// let ops = gosched::testing::arg("ops").map_or(10_000, |text| text.parse().unwrap());
/// assert!(ops > 0);
/// ```
pub fn arg(name: &str) -> Option<String> {
    // Wrong arguments ended the image before any test began.
    let options = args::Options::parse(&rt::args()).ok()?;
    options.value(name).map(ToOwned::to_owned)
}

/// One `#[gosched::test]`. Made by the macro.
pub struct Test {
    /// `crate::module::name`.
    pub path: &'static str,
    /// The function under the attribute.
    pub run: fn(),
    /// `#[ignore]`, with its reason or an empty text.
    pub ignore: Option<&'static str>,
    /// `#[should_panic]`, with the text that the panic's message must contain.
    pub should_panic: Option<&'static str>,
    /// The time limit.
    pub timeout_ns: u64,
}

/// One `#[gosched::bench]`. Made by the macro.
pub struct Bench {
    /// `crate::module::name`.
    pub path: &'static str,
    /// The function under the attribute.
    pub run: fn(&mut Bencher),
    /// `#[ignore]`, with its reason or an empty text.
    pub ignore: Option<&'static str>,
    /// The time limit.
    pub timeout_ns: u64,
}

/// The tests of this image, in the linker's order.
#[doc(hidden)]
#[distributed_slice]
pub static TESTS: [Test];

/// The benchmarks of this image, in the linker's order.
#[doc(hidden)]
#[distributed_slice]
pub static BENCHES: [Bench];

/// What the arguments can choose by name.
trait Case: 'static {
    /// `crate::module::name`.
    fn path(&self) -> &'static str;
    /// `#[ignore]`, with its reason or an empty text.
    fn ignore(&self) -> Option<&'static str>;

    /// The name as libtest has it: without the crate.
    fn name(&self) -> &'static str {
        let path = self.path();
        path.split_once("::").map_or(path, |(_, name)| name)
    }
}

impl Case for Test {
    fn path(&self) -> &'static str {
        self.path
    }
    fn ignore(&self) -> Option<&'static str> {
        self.ignore
    }
}

impl Case for Bench {
    fn path(&self) -> &'static str {
        self.path
    }
    fn ignore(&self) -> Option<&'static str> {
        self.ignore
    }
}

/// Makes the image's main goroutine run its tests. Stands once in each file of `tests/`, at its
/// end.
#[macro_export]
macro_rules! test_main {
    () => {
        #[$crate::main]
        fn main() {
            $crate::testing::run_tests()
        }
    };
}

/// Makes the image's main goroutine run its benchmarks. Stands once in each file of `benches/`, at
/// its end.
#[macro_export]
macro_rules! bench_main {
    () => {
        #[$crate::main]
        fn main() {
            $crate::testing::run_benches()
        }
    };
}
