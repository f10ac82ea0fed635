//! What is written in and beside `#[gosched::test]` and `#[gosched::bench]`.

use proc_macro2::{Span, TokenStream};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, Lit, LitInt, LitStr, Meta, Result};

/// An attribute that is there, perhaps with a text: `#[ignore = "text"]`,
/// `#[should_panic(expected = "text")]`.
pub(crate) struct Mark {
    pub(crate) span: Span,
    pub(crate) text: Option<String>,
}

/// All that is said about one test or benchmark besides its code.
pub(crate) struct Marks {
    pub(crate) timeout_s: Option<u64>,
    pub(crate) ignore: Option<Mark>,
    pub(crate) should_panic: Option<Mark>,
    /// The `#[cfg(…)]` attributes, which stay on the function too.
    pub(crate) conditions: Vec<Attribute>,
}

impl Marks {
    /// Reads the arguments of the macro called `name`, and takes out of `attributes` those that
    /// are its own: left on a plain function, the compiler would warn that they have no effect.
    pub(crate) fn take(
        arguments: TokenStream,
        attributes: &mut Vec<Attribute>,
        name: &str,
    ) -> Result<Marks> {
        let mut marks = Marks {
            timeout_s: timeout_s(arguments, name)?,
            ignore: None,
            should_panic: None,
            conditions: Vec::new(),
        };
        let mut others = Vec::new();
        for attribute in attributes.drain(..) {
            if attribute.path().is_ident("ignore") {
                set_once(&mut marks.ignore, &attribute, ignore_reason(&attribute)?)?;
            } else if attribute.path().is_ident("should_panic") {
                set_once(
                    &mut marks.should_panic,
                    &attribute,
                    expected_text(&attribute)?,
                )?;
            } else {
                if attribute.path().is_ident("cfg") {
                    marks.conditions.push(attribute.clone());
                }
                others.push(attribute);
            }
        }
        *attributes = others;
        Ok(marks)
    }
}

/// An error if there are any arguments.
pub(crate) fn refuse_arguments(arguments: TokenStream, name: &str) -> Result<()> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        arguments.span(),
        format!("{name} takes no arguments"),
    ))
}

fn timeout_s(arguments: TokenStream, name: &str) -> Result<Option<u64>> {
    let mut timeout_s = None;
    let parser = syn::meta::parser(|argument| {
        if !argument.path.is_ident("timeout_s") {
            return Err(argument.error(format!("{name} knows only `timeout_s = SECONDS`")));
        }
        if timeout_s.is_some() {
            return Err(argument.error("`timeout_s` is given twice"));
        }
        let number: LitInt = argument.value()?.parse()?;
        let seconds: u64 = number.base10_parse()?;
        // In nanoseconds it must fit the clock's u64; a day is more than any test may want.
        if !(1..=86_400).contains(&seconds) {
            return Err(Error::new(number.span(), "`timeout_s` must be 1 to 86400"));
        }
        timeout_s = Some(seconds);
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(timeout_s)
}

fn set_once(mark: &mut Option<Mark>, attribute: &Attribute, text: Option<String>) -> Result<()> {
    let span = attribute.span();
    match mark {
        Some(_) => Err(Error::new(span, "this attribute is given twice")),
        None => {
            *mark = Some(Mark { span, text });
            Ok(())
        }
    }
}

/// The reason in `#[ignore = "reason"]`.
fn ignore_reason(attribute: &Attribute) -> Result<Option<String>> {
    match &attribute.meta {
        Meta::Path(_) => Ok(None),
        Meta::NameValue(pair) => string(&pair.value).map(Some),
        Meta::List(_) => Err(Error::new(
            attribute.span(),
            "write `#[ignore]` or `#[ignore = \"reason\"]`",
        )),
    }
}

/// The text in `#[should_panic(expected = "text")]` or `#[should_panic = "text"]`.
fn expected_text(attribute: &Attribute) -> Result<Option<String>> {
    match &attribute.meta {
        Meta::Path(_) => Ok(None),
        Meta::NameValue(pair) => string(&pair.value).map(Some),
        Meta::List(list) => {
            let mut expected = None;
            list.parse_nested_meta(|argument| {
                if !argument.path.is_ident("expected") {
                    return Err(argument.error("`should_panic` knows only `expected = \"text\"`"));
                }
                let text: LitStr = argument.value()?.parse()?;
                expected = Some(text.value());
                Ok(())
            })?;
            match expected {
                None => Err(Error::new(
                    attribute.span(),
                    "`expected = \"text\"` is missing",
                )),
                Some(_) => Ok(expected),
            }
        }
    }
}

fn string(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Ok(text.value()),
        _ => Err(Error::new(value.span(), "a string literal is wanted here")),
    }
}
