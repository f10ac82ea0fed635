//! `select!` and `select_biased!`: crossbeam-channel's syntax, and an empty one.
//!
//! # What becomes of it
//!
//! ```text
//! match &CHANNEL0 { r0 => match &CHANNEL1 { r1 => {         channels: once, in order, and kept
//!     let out = {
//!         let c0 = r0.__recv_in_select();                   autoderef finds the receiver
//!         let slot0 = c0.slot();
//!         let c1 = r1.__send_in_select();
//!         match __select::select([c0.case(&slot0), c1.case()], biased, limit) {
//!             Some((0, _)) => Out::C0(slot0.into_result()),
//!             Some((1, grant)) => Out::C1(c1.send(grant, VALUE1)),   only if chosen
//!             _ => Out::Default,
//!         }
//!     };
//!     match out { Out::C0(x) => { let PATTERN0 = x; BODY0 }, … }     nothing is borrowed any more
//! }}}}
//! ```
//!
//! The bodies stand outside all of it, so that they may move the channels, and `break`, `continue`,
//! `return` and `?` mean what they say. Names of the expansion are not visible to the program's
//! code (`mixed_site`).

use proc_macro2::{Span, TokenStream as Code};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, Pat, Token, parenthesized, token};

enum Kind {
    Recv {
        channel: Expr,
        pattern: Pat,
    },
    Send {
        channel: Expr,
        value: Expr,
        pattern: Pat,
    },
    Default {
        timeout: Option<Expr>,
    },
}

struct Case {
    name: Span,
    kind: Kind,
    body: Expr,
}

pub(crate) struct Select {
    cases: Vec<Case>,
    default: Option<(Option<Expr>, Expr)>,
}

const FORMS: &str = "expected `recv(receiver) -> pattern => body`, \
                     `send(sender, value) -> pattern => body`, `default => body` or \
                     `default(timeout) => body`";

impl Parse for Case {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse().map_err(|e| Error::new(e.span(), FORMS))?;
        let kind = match name.to_string().as_str() {
            "recv" => parse_recv(&name, input)?,
            "send" => parse_send(&name, input)?,
            "default" => parse_default(&name, input)?,
            _ => return Err(Error::new(name.span(), FORMS)),
        };
        if !input.peek(Token![=>]) {
            let text = format!("expected `=>` and a body after `{name}(…)`");
            return Err(input.error(text));
        }
        input.parse::<Token![=>]>()?;
        let body = parse_body(input)?;
        Ok(Case {
            name: name.span(),
            kind,
            body,
        })
    }
}

fn arguments(name: &Ident, input: ParseStream<'_>) -> syn::Result<Vec<Expr>> {
    if !input.peek(token::Paren) {
        let text = format!("expected an argument list after `{name}`");
        return Err(input.error(text));
    }
    let content;
    parenthesized!(content in input);
    let list = content.parse_terminated(Expr::parse, Token![,])?;
    Ok(list.into_iter().collect())
}

fn pattern(name: &Ident, input: ParseStream<'_>) -> syn::Result<Pat> {
    if !input.peek(Token![->]) {
        let text = format!("expected `-> pattern` for the result of `{name}(…)`; `_` ignores it");
        return Err(input.error(text));
    }
    input.parse::<Token![->]>()?;
    Pat::parse_multi_with_leading_vert(input)
}

fn parse_recv(name: &Ident, input: ParseStream<'_>) -> syn::Result<Kind> {
    let mut list = arguments(name, input)?.into_iter();
    let (Some(channel), None) = (list.next(), list.next()) else {
        return Err(Error::new(
            name.span(),
            "`recv` takes one argument: the receiver",
        ));
    };
    let pattern = pattern(name, input)?;
    Ok(Kind::Recv { channel, pattern })
}

fn parse_send(name: &Ident, input: ParseStream<'_>) -> syn::Result<Kind> {
    let mut list = arguments(name, input)?.into_iter();
    let (Some(channel), Some(value), None) = (list.next(), list.next(), list.next()) else {
        let text = "`send` takes two arguments: the sender and the value";
        return Err(Error::new(name.span(), text));
    };
    let pattern = pattern(name, input)?;
    Ok(Kind::Send {
        channel,
        value,
        pattern,
    })
}

fn parse_default(name: &Ident, input: ParseStream<'_>) -> syn::Result<Kind> {
    let mut list = if input.peek(token::Paren) {
        arguments(name, input)?.into_iter()
    } else {
        Vec::new().into_iter()
    };
    let timeout = list.next();
    if list.next().is_some() {
        let text = "`default` takes no argument, or one: the timeout";
        return Err(Error::new(name.span(), text));
    }
    if input.peek(Token![->]) {
        return Err(input.error("`default` has no result: expected `=>`"));
    }
    Ok(Kind::Default { timeout })
}

/// As the body of a match arm: after a block the comma may be left out.
fn parse_body(input: ParseStream<'_>) -> syn::Result<Expr> {
    let body = Expr::parse_with_earlier_boundary_rule(input)?;
    let block_like = matches!(
        body,
        Expr::Block(_)
            | Expr::Unsafe(_)
            | Expr::If(_)
            | Expr::Match(_)
            | Expr::Loop(_)
            | Expr::While(_)
            | Expr::ForLoop(_)
    );
    if input.peek(Token![,]) {
        while input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
        }
    } else if !block_like && !input.is_empty() {
        return Err(input.error("expected `,` between cases: the body before it is not a block"));
    }
    Ok(body)
}

impl Parse for Select {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut select = Select {
            cases: Vec::new(),
            default: None,
        };
        while !input.is_empty() {
            let case: Case = input.parse()?;
            match case.kind {
                Kind::Default { timeout } => {
                    if select.default.is_some() {
                        let text = "there can be only one `default` case in a `select!` block";
                        return Err(Error::new(case.name, text));
                    }
                    select.default = Some((timeout, case.body));
                }
                _ => select.cases.push(case),
            }
        }
        Ok(select)
    }
}

/// The parts of the expansion that each case adds.
#[derive(Default)]
struct Parts {
    prepare: Vec<Code>,
    cases: Vec<Code>,
    complete: Vec<Code>,
    arms: Vec<Code>,
    variants: Vec<Ident>,
    /// What is matched around it all: the name and the expression.
    channels: Vec<(Ident, Code)>,
}

impl Parts {
    fn add(&mut self, case: &Case) {
        let hygiene = Span::mixed_site();
        let i = self.variants.len();
        let name = |prefix: &str| Ident::new(&format!("__{prefix}{i}"), hygiene);
        let (side, slot, variant) = (name("side"), name("slot"), format_ident!("C{i}"));
        let reference = name("channel");
        let (channel, pattern) = match &case.kind {
            Kind::Recv { channel, pattern } => {
                let span = channel.span().resolved_at(hygiene);
                self.prepare.push(quote_spanned! {span=>
                    let #side = #reference.__recv_in_select();
                    let #slot = #side.slot();
                });
                self.cases
                    .push(quote_spanned! {hygiene=> #side.case(&#slot) });
                self.complete.push(quote_spanned! {hygiene=>
                    ::core::option::Option::Some((#i, _)) =>
                        __Out::#variant(#slot.into_result()),
                });
                (channel, pattern)
            }
            Kind::Send {
                channel,
                value,
                pattern,
            } => {
                let span = channel.span().resolved_at(hygiene);
                self.prepare.push(quote_spanned! {span=>
                    let #side = #reference.__send_in_select();
                });
                self.cases.push(quote_spanned! {hygiene=> #side.case() });
                self.complete.push(quote_spanned! {hygiene=>
                    ::core::option::Option::Some((#i, __grant)) =>
                        __Out::#variant(#side.send(__grant, #value)),
                });
                (channel, pattern)
            }
            Kind::Default { .. } => unreachable!("the default is kept apart"),
        };
        let body = &case.body;
        self.channels
            .push((reference, quote_spanned! {hygiene=> &#channel }));
        self.arms.push(quote_spanned! {hygiene=>
            __Out::#variant(__result) => {
                let #pattern = __result;
                #body
            }
        });
        self.variants.push(variant);
    }
}

pub(crate) fn expand(select: &Select, biased: bool) -> Code {
    let hygiene = Span::mixed_site();
    if select.cases.is_empty() && select.default.is_none() {
        return quote!(::gosched::chan::__select::block());
    }
    let mut parts = Parts::default();
    for case in &select.cases {
        parts.add(case);
    }
    let (limit, default_value, default_arm, default_variant) = match &select.default {
        None => (quote!(forever()), None, None, None),
        Some((timeout, body)) => (
            match timeout {
                None => quote!(now()),
                Some(timeout) => quote!(timeout(#timeout)),
            },
            Some(quote_spanned! {hygiene=> ::core::option::Option::None => __Out::Default, }),
            Some(quote_spanned! {hygiene=> __Out::Default => #body }),
            Some(quote!(Default,)),
        ),
    };
    let Parts {
        prepare,
        cases,
        complete,
        arms,
        variants,
        channels,
    } = parts;
    let inner = quote_spanned! {hygiene=> {
        #[allow(dead_code)]
        enum __Out<#(#variants),*> { #(#variants(#variants),)* #default_variant }
        #[allow(unreachable_code)]
        let __out = {
            #[allow(unused_imports)]
            use ::gosched::chan::__select::{OptionalReceiver as _, OptionalSender as _};
            #(#prepare)*
            #[allow(clippy::diverging_sub_expression)]
            match ::gosched::chan::__select::select(
                [#(#cases),*], #biased, ::gosched::chan::__select::#limit
            ) {
                #(#complete)*
                #default_value
                _ => ::core::unreachable!("a select ends with one of its cases"),
            }
        };
        match __out {
            #(#arms)*
            #default_arm
        }
    }};
    channels
        .into_iter()
        .rev()
        .fold(inner, |inside, (name, channel)| {
            quote_spanned! {hygiene=> match #channel { #name => #inside } }
        })
}
