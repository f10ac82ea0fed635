//! `select!` and `select_biased!`: crossbeam-channel's syntax, and an empty one.
//!
//! # What becomes of it
//!
//! ```text
//! match &CHANNEL0 { r0 => match &CHANNEL1 { r1 => {         channels: once, in order, and kept
//!     let c0 = r0.__recv_in_select();                       autoderef finds the receiver
//!     let slot0 = c0.slot();
//!     let c1 = r1.__send_in_select();
//!     match __select::select([c0.case(&slot0), c1.case()], biased, limit) {
//!         Some((0, _)) => {
//!             let result = slot0.into_result();
//!             let PATTERN0 = result;
//!             BODY0
//!         }
//!         Some((1, Some(grant))) => {
//!             let result = c1.send(grant, VALUE1);          only if chosen
//!             slot0.end();                                  what is borrowed ends here
//!             let PATTERN1 = result;
//!             BODY1
//!         }
//!         None => { slot0.end(); DEFAULT }
//!     }
//! }}}}
//! ```
//!
//! One receive with a `default` needs no selection (Go: `selectnbrecv`):
//!
//! ```text
//! match c0.poll() {
//!     Some(result) => { let PATTERN0 = result; BODY0 }
//!     None => DEFAULT
//! }
//! ```
//!
//! Each value stands in the arm of its own body, so what it moves the other bodies still have. No
//! slot outlives the beginning of a body, so bodies may move the channels; and they stand in no
//! closure, so that `break`, `continue`, `return` and `?` mean what they say. Names of the
//! expansion are not visible to the program's code (`mixed_site`).

use proc_macro2::{Span, TokenStream as Code};
use quote::{quote, quote_spanned};
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
    if input.peek(Token![=>]) {
        return Err(input.error("expected a pattern after `->`; `_` ignores the result"));
    }
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
    if input.peek(Token![;]) {
        return Err(input.error("cases are separated by `,`, not by `;`"));
    }
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

/// One case on the way to its code.
struct Names {
    /// The reference to what the channel's expression gave.
    channel: Ident,
    /// The receiver or sender in it.
    side: Ident,
    /// Where a received value goes.
    slot: Option<Ident>,
}

impl Names {
    fn of(i: usize, case: &Case) -> Self {
        let name = |prefix: &str| Ident::new(&format!("__{prefix}{i}"), Span::mixed_site());
        Names {
            channel: name("channel"),
            side: name("side"),
            slot: matches!(case.kind, Kind::Recv { .. }).then(|| name("slot")),
        }
    }
}

impl Case {
    /// The receiver or sender.
    fn channel(&self) -> &Expr {
        match &self.kind {
            Kind::Recv { channel, .. } | Kind::Send { channel, .. } => channel,
            Kind::Default { .. } => unreachable!("the default is kept apart"),
        }
    }

    /// What comes before the selection.
    fn prepare(
        &self,
        Names {
            channel,
            side,
            slot,
        }: &Names,
    ) -> Code {
        // The span says where, if there is no such side.
        let span = self.channel().span().resolved_at(Span::mixed_site());
        match slot {
            Some(slot) => quote_spanned! {span=>
                let #side = #channel.__recv_in_select();
                let #slot = #side.slot();
            },
            None => quote_spanned! {span=> let #side = #channel.__send_in_select(); },
        }
    }

    /// The case in the list that is selected from.
    fn entry(&self, Names { side, slot, .. }: &Names) -> Code {
        match slot {
            Some(slot) => quote!(#side.case(&#slot)),
            None => quote!(#side.case()),
        }
    }

    /// What is done if it was chosen; `end` drops the slots of all others.
    fn arm(&self, i: usize, Names { side, slot, .. }: &Names, end: &Code) -> Code {
        let body = &self.body;
        let hygiene = Span::mixed_site();
        match &self.kind {
            Kind::Send { value, pattern, .. } => quote_spanned! {hygiene=>
                ::core::option::Option::Some((#i, ::core::option::Option::Some(__grant))) => {
                    #[allow(unreachable_code, clippy::diverging_sub_expression)]
                    let __result = #side.send(__grant, #value);
                    #end
                    let #pattern = __result;
                    #body
                }
            },
            Kind::Recv { pattern, .. } => quote_spanned! {hygiene=>
                ::core::option::Option::Some((#i, _)) => {
                    let __result = #slot.into_result();
                    #end
                    let #pattern = __result;
                    #body
                }
            },
            Kind::Default { .. } => unreachable!("the default is kept apart"),
        }
    }
}

/// Ends the slots of all cases but one.
fn end_slots(names: &[Names], but: Option<usize>) -> Code {
    let slots = names.iter().enumerate().filter(|(i, _)| Some(*i) != but);
    let slots = slots.filter_map(|(_, names)| names.slot.as_ref());
    quote!(#(#slots.end();)*)
}

pub(crate) fn expand(select: &Select, biased: bool) -> Code {
    let hygiene = Span::mixed_site();
    let cases = &select.cases;
    if cases.is_empty() && select.default.is_none() {
        return quote!(::gosched::chan::__select::block());
    }
    let names: Vec<_> = (0..)
        .zip(cases)
        .map(|(i, case)| Names::of(i, case))
        .collect();
    let prepare = cases
        .iter()
        .zip(&names)
        .map(|(case, names)| case.prepare(names));
    let entries = cases
        .iter()
        .zip(&names)
        .map(|(case, names)| case.entry(names));
    let arms = cases
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(i, (case, own))| case.arm(i, own, &end_slots(&names, Some(i))));
    if let ([case], Some((None, default))) = (&cases[..], &select.default)
        && let Kind::Recv { pattern, .. } = &case.kind
    {
        return recv_or_default(case, pattern, default);
    }
    let (limit, default) = match &select.default {
        None => (quote!(forever()), None),
        Some((timeout, body)) => {
            let limit = match timeout {
                None => quote!(now()),
                Some(timeout) => quote!(timeout(#timeout)),
            };
            let end = end_slots(&names, None);
            let arm = quote_spanned! {hygiene=>
                ::core::option::Option::None => { #end #body }
            };
            (limit, Some(arm))
        }
    };
    let inner = quote_spanned! {hygiene=> {
        #[allow(unused_imports)]
        use ::gosched::chan::__select::{OptionalReceiver as _, OptionalSender as _};
        #(#prepare)*
        match ::gosched::chan::__select::select(
            [#(#entries),*], #biased, ::gosched::chan::__select::#limit
        ) {
            #(#arms)*
            #default
            _ => ::core::unreachable!("a select ends with one of its cases"),
        }
    }};
    cases
        .iter()
        .zip(&names)
        .rev()
        .fold(inner, |inside, (case, names)| {
            let (channel, name) = (case.channel(), &names.channel);
            quote_spanned! {hygiene=> match &#channel { #name => #inside } }
        })
}

/// A receive, if it need not wait.
fn recv_or_default(case: &Case, pattern: &Pat, default: &Expr) -> Code {
    let hygiene = Span::mixed_site();
    let Names { channel, side, .. } = Names::of(0, case);
    let span = case.channel().span().resolved_at(hygiene);
    let (expression, body) = (case.channel(), &case.body);
    let prepare = quote_spanned! {span=> let #side = #channel.__recv_in_select(); };
    quote_spanned! {hygiene=>
        match &#expression {
            #channel => {
                #[allow(unused_imports)]
                use ::gosched::chan::__select::OptionalReceiver as _;
                #prepare
                match #side.poll() {
                    ::core::option::Option::Some(__result) => {
                        let #pattern = __result;
                        #body
                    }
                    ::core::option::Option::None => #default,
                }
            }
        }
    }
}
