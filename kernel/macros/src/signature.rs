//! What a function must look like for the runtime to call it.
//!
//! Everything is checked here and not left to the compiler's type check of the generated code,
//! whose message would point into that code.

use syn::spanned::Spanned;
use syn::{FnArg, ItemFn, ReturnType, Type};

/// Which of the three functions it shall be.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// `fn main()`
    Main,
    /// `fn name()`
    Test,
    /// `fn name(b: &mut Bencher)`
    Bench,
}

impl Shape {
    fn wanted(self) -> &'static str {
        match self {
            Shape::Main => "the main goroutine is `fn main()`",
            Shape::Test => "a test is `fn name()`",
            Shape::Bench => "a benchmark is `fn name(b: &mut Bencher)`",
        }
    }
}

/// An error at the first thing that keeps `function` from having that shape.
pub(crate) fn check(function: &ItemFn, shape: Shape) -> syn::Result<()> {
    let sig = &function.sig;
    let refuse = |place: &dyn Spanned, what: &str| {
        Err(syn::Error::new(
            place.span(),
            format!("{}: {what}", shape.wanted()),
        ))
    };
    if let Some(asyncness) = &sig.asyncness {
        return refuse(asyncness, "not `async`; a goroutine blocks where it waits");
    }
    if let Some(constness) = &sig.constness {
        return refuse(constness, "not `const`");
    }
    if let Some(unsafety) = &sig.unsafety {
        return refuse(unsafety, "not `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        return refuse(abi, "without an ABI of its own");
    }
    if !sig.generics.params.is_empty() || sig.generics.where_clause.is_some() {
        return refuse(&sig.generics, "without generic parameters");
    }
    if let ReturnType::Type(_, result) = &sig.output
        && !matches!(&**result, Type::Tuple(tuple) if tuple.elems.is_empty())
    {
        return refuse(result, "without a result");
    }
    match shape {
        Shape::Main if sig.ident != "main" => refuse(&sig.ident, "with the name `main`"),
        Shape::Main | Shape::Test => match sig.inputs.first() {
            Some(argument) => refuse(argument, "without arguments"),
            None => Ok(()),
        },
        Shape::Bench if sig.inputs.len() != 1 => refuse(&sig.ident, "with that one argument"),
        Shape::Bench => match &sig.inputs[0] {
            FnArg::Typed(argument) if is_mutable_reference(&argument.ty) => Ok(()),
            argument => refuse(argument, "with that one argument"),
        },
    }
}

/// The type behind the reference is left to the compiler: it may be written by any path.
fn is_mutable_reference(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if reference.mutability.is_some())
}
