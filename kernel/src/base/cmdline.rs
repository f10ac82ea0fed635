//! The command line that the kernel was booted with: read once, then the same for ever.
//!
//! Here and not in `start`, so that what reports and tests does not depend on how boot goes.

use conquer_once::spin::OnceCell;

use crate::base::options::Options;

static OPTIONS: OnceCell<Options> = OnceCell::uninit();

/// Keeps what boot read. Once.
pub fn init(options: Options) {
    OPTIONS.init_once(|| options);
}

/// What the kernel was asked for at boot.
pub fn options() -> &'static Options {
    OPTIONS
        .get()
        .expect("boot reads the command line before anything asks for it")
}
