//! Groups that end a context (Go: `errgroup.WithContext`).

use alloc::boxed::Box;

use crate::context::Context;
use crate::sync::ErrGroup;

impl<E: Send + 'static> ErrGroup<E> {
    /// A group, and a context below `ctx` that ends with the group's first error, or when `wait`
    /// returns (Go: `errgroup.WithContext`).
    ///
    /// ```
    /// use gosched::context::Context;
    /// use gosched::sync::ErrGroup;
    ///
    /// let (group, ctx) = ErrGroup::with_context(&Context::background());
    /// group.go(|| Err("out of luck"));
    /// group.go(move || {
    ///     let _ = ctx.done().recv(); // until the other one has failed
    ///     Ok(())
    /// });
    /// assert_eq!(group.wait(), Err("out of luck"));
    /// ```
    pub fn with_context(ctx: &Context) -> (ErrGroup<E>, Context) {
        let (ctx, cancel) = ctx.with_cancel();
        let end = move || {
            cancel();
        };
        (ErrGroup::with_end(Some(Box::new(end))), ctx)
    }
}
