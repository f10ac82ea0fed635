//! What several benchmarks use.

use gosched::runtime;

/// Runs `f` on one P.
pub(crate) fn on_one_p(f: impl FnOnce()) {
    let before = runtime::gomaxprocs(1);
    f();
    runtime::gomaxprocs(before);
}
