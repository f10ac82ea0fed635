//! What the suites of contexts look at.

use alloc::string::ToString;

use gosched::chan::TryRecvError;
use gosched::context::{Context, ContextError};

pub(crate) fn is_open(ctx: &Context) -> bool {
    ctx.done().try_recv() == Err(TryRecvError::Empty)
}

#[track_caller]
pub(crate) fn assert_live(ctx: &Context) {
    assert!(is_open(ctx), "{ctx:?} ended");
    assert_eq!(ctx.err(), None, "{ctx:?}");
    assert!(ctx.cause().is_none(), "{ctx:?}");
}

#[track_caller]
pub(crate) fn assert_ended(ctx: &Context, err: ContextError, cause: &str) {
    assert_eq!(
        ctx.done().try_recv(),
        Err(TryRecvError::Disconnected),
        "{ctx:?}"
    );
    assert_eq!(ctx.err(), Some(err), "{ctx:?}");
    assert_eq!(ctx.cause().unwrap().to_string(), cause, "{ctx:?}");
}

#[track_caller]
pub(crate) fn assert_canceled(ctx: &Context) {
    assert_ended(ctx, ContextError::Canceled, "context canceled");
}
