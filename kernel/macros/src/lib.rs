//! The macros of gosched: `#[gosched::main]`, `#[gosched::test]`, `#[gosched::bench]`, and
//! `select!`, `select_biased!` (`select.rs`).
//!
//! Each attribute leaves the function as it was written and adds, in a `const _` of its own, the
//! item that makes the image find it: an entry in a registry, `gosched::start::MAINS` or one of the
//! two of `gosched::testing`. The added items name everything by its full path, so that a program
//! may call its own things `gosched` or `Test` as it likes.
//!
//! They refuse, with an error at the place in question, a function that could not be called as
//! such (arguments, results, `async`, generics, …) and arguments they do not know.
//!
//! The library re-exports them; programs depend on `gosched` alone.

mod marks;
mod select;
mod signature;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Code;
use quote::quote;
use syn::ext::IdentExt;
use syn::{ItemFn, parse_macro_input};

use crate::marks::Marks;
use crate::signature::Shape;

/// How long a test may run if it does not say, in seconds.
const TEST_TIMEOUT_S: u64 = 60;
/// How long a benchmark may run if it does not say, in seconds.
const BENCH_TIMEOUT_S: u64 = 300;

/// Makes `fn main()` the image's main goroutine (goroutine 1). When it returns, the image ends
/// with status 0, whatever else still runs, as a Go program does.
///
/// That holds for the one at the root of the image's crate. One in a module is only registered, in
/// `gosched::start::MAINS`, so that an image can include other programs as modules and run them. An
/// image with none at its root, or with two, refuses to boot.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    expand(signature::check(&function, Shape::Main), || {
        marks::refuse_arguments(arguments.into(), "#[gosched::main]")?;
        let name = &function.sig.ident;
        Ok(quote! {
            #function
            const _: () = {
                #[::gosched::testing::linkme::distributed_slice(::gosched::start::MAINS)]
                #[linkme(crate = ::gosched::testing::linkme)]
                static ENTRY: ::gosched::start::Main = ::gosched::start::Main {
                    module: ::core::module_path!(),
                    run: #name,
                };
            };
        })
    })
}

/// Makes `fn name()` a test on the target: `gosched::test_main!()` runs it in a goroutine of its
/// own, under libtest's name for it (`module::name`).
///
/// `#[gosched::test(timeout_s = 5)]` sets its time limit in seconds of the machine's clock, 60 if
/// not given. Beside it, in any order: `#[ignore]`, `#[ignore = "reason"]`, `#[should_panic]`,
/// `#[should_panic(expected = "…")]`, with their meaning in Rust.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = parse_macro_input!(item as ItemFn);
    expand(signature::check(&function, Shape::Test), || {
        let marks = Marks::take(arguments.into(), &mut function.attrs, "#[gosched::test]")?;
        let timeout_s = marks.timeout_s.unwrap_or(TEST_TIMEOUT_S);
        let ignore = option(&marks.ignore);
        let should_panic = option(&marks.should_panic);
        let fields = quote! {
            ignore: #ignore,
            should_panic: #should_panic,
            timeout_ns: #timeout_s * 1_000_000_000,
        };
        Ok(registered(
            &function,
            &marks,
            &quote!(Test),
            &quote!(TESTS),
            &fields,
        ))
    })
}

/// Makes `fn name(b: &mut Bencher)` a benchmark: `gosched::bench_main!()` runs it in a goroutine
/// of its own and prints `BENCH name median min unit`.
///
/// `#[gosched::bench(timeout_s = 5)]` sets its time limit in seconds of the machine's clock, 300
/// if not given. `#[ignore]` may stand beside it.
#[proc_macro_attribute]
pub fn bench(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = parse_macro_input!(item as ItemFn);
    expand(signature::check(&function, Shape::Bench), || {
        let marks = Marks::take(arguments.into(), &mut function.attrs, "#[gosched::bench]")?;
        if let Some(mark) = &marks.should_panic {
            return Err(syn::Error::new(
                mark.span,
                "a benchmark cannot be `#[should_panic]`",
            ));
        }
        let timeout_s = marks.timeout_s.unwrap_or(BENCH_TIMEOUT_S);
        let ignore = option(&marks.ignore);
        let fields = quote! {
            ignore: #ignore,
            timeout_ns: #timeout_s * 1_000_000_000,
        };
        Ok(registered(
            &function,
            &marks,
            &quote!(Bench),
            &quote!(BENCHES),
            &fields,
        ))
    })
}

/// What a macro puts in the place of its item: the code, or the compile error.
fn expand(signature: syn::Result<()>, code: impl FnOnce() -> syn::Result<Code>) -> TokenStream {
    match signature.and_then(|()| code()) {
        Ok(code) => code.into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// The function, and beside it an entry of `kind` in the registry `slice` of `gosched::testing`.
///
/// A `#[cfg]` that the compiler has not evaluated yet (because it is written below the macro)
/// holds for both.
fn registered(function: &ItemFn, marks: &Marks, kind: &Code, slice: &Code, fields: &Code) -> Code {
    let name = &function.sig.ident;
    // As libtest prints it: without `r#`.
    let text = name.unraw().to_string();
    let conditions = &marks.conditions;
    quote! {
        #function
        #(#conditions)*
        const _: () = {
            #[::gosched::testing::linkme::distributed_slice(::gosched::testing::#slice)]
            #[linkme(crate = ::gosched::testing::linkme)]
            static ENTRY: ::gosched::testing::#kind = ::gosched::testing::#kind {
                path: ::core::concat!(::core::module_path!(), "::", #text),
                run: #name,
                #fields
            };
        };
    }
}

/// A mark as the registry holds it: not there, there, or there with a text.
fn option(mark: &Option<marks::Mark>) -> Code {
    match mark {
        None => quote!(::core::option::Option::None),
        Some(mark) => {
            let text = mark.text.as_deref().unwrap_or("");
            quote!(::core::option::Option::Some(#text))
        }
    }
}

/// Waits until one of several channel operations can proceed, and does it. If several can, one is
/// chosen at random. `crossbeam_channel::select!`'s syntax, and Go's semantics:
///
/// - `recv(receiver) -> pattern => body`: the pattern is given a `Result<T, RecvError>`. The
///   receiver may be a `Receiver`, anything that derefs to one, or an `Option` of one or of a
///   reference to one: `None` is Go's nil channel, and never ready.
/// - `send(sender, value) -> pattern => body`: the pattern is given a `Result<(), SendError<T>>`.
///   The value is evaluated only if this case is chosen; whoever receives may wait for it by then,
///   so an expression that leaves the `select!` instead (`return`, `?`) is a panic. The sender may
///   be an `Option` too.
/// - `default => body`: if no other case can proceed at once.
/// - `default(timeout) => body`: if no other case could within this `Duration`.
///
/// An operation on a disconnected channel can proceed: it ends with an error. Channels are
/// evaluated once, in order, and looked at all at one instant. Without any case it blocks for ever.
/// The value of the body is that of the `select!`; `break`, `continue`, `return` and `?` work in
/// it.
///
/// Costs the lock of each channel, once if a case can proceed, else three times, and no allocation.
/// Go's `selectgo`.
///
/// ```
/// use core::time::Duration;
/// use gosched::{chan, select};
///
/// let (s1, r1) = chan::unbounded();
/// let (s2, _r2) = chan::bounded(0);
/// s1.send(10).unwrap();
/// select! {
///     recv(r1) -> msg => assert_eq!(msg, Ok(10)),
///     send(s2, 20) -> res => unreachable!("nobody receives: {res:?}"),
///     default(Duration::from_secs(1)) => unreachable!("r1 has a value"),
/// }
/// ```
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    let select = parse_macro_input!(input as select::Select);
    select::expand(&select, false).into()
}

/// As [`select!`](macro@select), but if several cases can proceed, the first of them is chosen.
///
/// ```
/// use gosched::{chan, select_biased};
///
/// let (s, r) = chan::unbounded();
/// s.send(1).unwrap();
/// let never_this = chan::never::<i32>();
/// select_biased! {
///     recv(never_this) -> _ => unreachable!(),
///     recv(r) -> msg => assert_eq!(msg, Ok(1)),
///     default => unreachable!(),
/// }
/// ```
#[proc_macro]
pub fn select_biased(input: TokenStream) -> TokenStream {
    let select = parse_macro_input!(input as select::Select);
    select::expand(&select, true).into()
}
