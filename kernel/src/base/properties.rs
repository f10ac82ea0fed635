//! How the tests by `proptest` are run.

use proptest::test_runner::{Config, RngSeed};

/// For `proptest!`: so many cases, the same each time unless `PROPTEST_RNG_SEED` says otherwise.
/// Nothing is written: what fails is printed, whole and made small.
pub(crate) fn properties(cases: u32) -> Config {
    let given = Config::default();
    Config {
        cases,
        failure_persistence: None,
        rng_seed: match given.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            seed => seed,
        },
        ..given
    }
}
