//! Power series as processes (M. D. McIlroy, "Squinting at Power Series"): a series is a goroutine
//! that computes its next coefficient when somebody asks for it. Products, integrals and series
//! that are defined by themselves, such as exp = 1 + ∫ exp, become networks of such goroutines.
//!
//! Coefficients are exact fractions, and each series is compared with the known one.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Add, Mul};

use gosched::chan::{self, Receiver, Sender};
use gosched::{go, println, select};

/// A fraction in lowest terms, with a positive denominator.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fraction(i64, i64);

fn fraction(numerator: i64, denominator: i64) -> Fraction {
    let (mut a, mut b) = (numerator.abs(), denominator.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let a = a.max(1) * denominator.signum();
    Fraction(numerator / a, denominator / a)
}

impl Add for Fraction {
    type Output = Fraction;
    fn add(self, other: Fraction) -> Fraction {
        fraction(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }
}

impl Mul for Fraction {
    type Output = Fraction;
    fn mul(self, other: Fraction) -> Fraction {
        fraction(self.0 * other.0, self.1 * other.1)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            1 => write!(f, "{}", self.0),
            _ => write!(f, "{}/{}", self.0, self.1),
        }
    }
}

/// The reader of a series: asks for a coefficient and gets it.
struct Series {
    ask: Sender<()>,
    coefficients: Receiver<Fraction>,
}

/// The goroutine of a series: waits to be asked, and answers.
struct Source {
    asked: Receiver<()>,
    to: Sender<Fraction>,
}

impl Series {
    fn next(&self) -> Option<Fraction> {
        self.ask.send(()).ok()?;
        self.coefficients.recv().ok()
    }

    fn take(&self, n: usize) -> Vec<Fraction> {
        (0..n).map_while(|_| self.next()).collect()
    }
}

impl Source {
    /// Computes a coefficient, but not before it is asked for. `None`: nobody will ask again, or
    /// there is none, and the goroutine can end.
    fn put(&self, coefficient: impl FnOnce() -> Option<Fraction>) -> Option<()> {
        self.asked.recv().ok()?;
        self.to.send(coefficient()?).ok()
    }

    fn put_all(&self, mut coefficient: impl FnMut() -> Option<Fraction>) -> Option<()> {
        loop {
            self.put(&mut coefficient)?;
        }
    }
}

/// Both ends of a series that nobody runs yet.
fn pipe() -> (Source, Series) {
    let ((ask, asked), (to, coefficients)) = (chan::bounded(0), chan::bounded(0));
    (Source { asked, to }, Series { ask, coefficients })
}

/// Starts the goroutine of a series. It ends when its reader is dropped.
fn series(run: impl FnOnce(&Source) -> Option<()> + Send + 'static) -> Series {
    let (source, series) = pipe();
    go(move || {
        run(&source);
    });
    series
}

/// Two readers of one series.
fn split(of: Series) -> [Series; 2] {
    let ((source_a, a), (source_b, b)) = (pipe(), pipe());
    go(move || {
        share(&of, [source_a, source_b]);
    });
    [a, b]
}

/// What one of the readers has read ahead is kept for the other. A reader is answered from that
/// also while the series is being waited for: it may be what the series itself waits for.
fn share(of: &Series, mut readers: [Source; 2]) -> Option<()> {
    let mut kept = [VecDeque::new(), VecDeque::new()];
    let mut wants = [false; 2];
    let mut gone = [false; 2];
    let mut asked = false;
    while gone != [true; 2] {
        let (reader, alive) = select! {
            recv(of.coefficients) -> coefficient => {
                let coefficient = coefficient.ok()?;
                asked = false;
                kept.iter_mut().for_each(|kept| kept.push_back(coefficient));
                (None, true)
            }
            recv(readers[0].asked) -> word => (Some(0), word.is_ok()),
            recv(readers[1].asked) -> word => (Some(1), word.is_ok()),
        };
        if let Some(reader) = reader {
            wants[reader] = alive;
            gone[reader] = !alive;
            if !alive {
                readers[reader].asked = chan::never();
            }
        }
        for reader in 0..2 {
            if wants[reader]
                && let Some(coefficient) = kept[reader].pop_front()
            {
                readers[reader].to.send(coefficient).ok()?;
                wants[reader] = false;
            }
        }
        if wants.contains(&true) && !asked {
            of.ask.send(()).ok()?;
            asked = true;
        }
    }
    Some(())
}

// ---- Arithmetic --------------------------------------------------------------------------------

const ZERO: Fraction = Fraction(0, 1);
const ONE: Fraction = Fraction(1, 1);

/// The series 1, which is 1, 0, 0, ...
fn one() -> Series {
    series(|out| {
        out.put(|| Some(ONE))?;
        out.put_all(|| Some(ZERO))
    })
}

fn add(f: Series, g: Series) -> Series {
    series(move |out| out.put_all(|| Some(f.next()? + g.next()?)))
}

fn scale(factor: Fraction, f: Series) -> Series {
    series(move |out| out.put_all(|| Some(factor * f.next()?)))
}

/// x f
fn shift(f: Series) -> Series {
    series(move |out| {
        out.put(|| Some(ZERO))?;
        out.put_all(|| f.next())
    })
}

/// With f = f0 + x F and g = g0 + x G: f0 g0 + x (f0 G + g0 F + x F G).
fn multiply(f: Series, g: Series) -> Series {
    series(move |out| {
        let mut heads = (ZERO, ZERO);
        out.put(|| {
            heads = (f.next()?, g.next()?);
            Some(heads.0 * heads.1)
        })?;
        let ([f1, f2], [g1, g2]) = (split(f), split(g));
        let mixed = add(scale(heads.0, g1), scale(heads.1, f1));
        let rest = add(mixed, shift(multiply(f2, g2)));
        out.put_all(|| rest.next())
    })
}

fn derivative(f: Series) -> Series {
    series(move |out| {
        let mut n = 0;
        out.put_all(|| {
            if n == 0 {
                f.next()?;
            }
            n += 1;
            Some(fraction(n, 1) * f.next()?)
        })
    })
}

/// constant + ∫ f
fn integral(constant: Fraction, f: Series) -> Series {
    series(move |out| {
        out.put(|| Some(constant))?;
        let mut n = 0;
        out.put_all(|| {
            n += 1;
            Some(fraction(1, n) * f.next()?)
        })
    })
}

/// The series s = of(s). Its first coefficient must not depend on s.
fn fixed_point(of: impl FnOnce(Series) -> Series) -> Series {
    let (source, itself) = pipe();
    let [result, back] = split(of(itself));
    go(move || {
        source.put_all(|| back.next());
    });
    result
}

fn sine() -> Series {
    fixed_point(|sine| integral(ZERO, integral(ONE, scale(fraction(-1, 1), sine))))
}

/// Takes as many coefficients as are known, compares, and prints them.
fn check(name: &str, series: Series, known: &[(i64, i64)]) {
    let found = series.take(known.len());
    let known: Vec<_> = known.iter().map(|&(n, d)| fraction(n, d)).collect();
    let text: Vec<_> = found.iter().map(|c| c.to_string()).collect();
    println!("{name:8} {}", text.join(" "));
    assert!(found == known, "{name} is another series");
}

#[gosched::main]
fn main() {
    let geometric = fixed_point(|series| add(one(), shift(series)));
    check("1/(1-x)", geometric, &[(1, 1); 10]);
    let exp = fixed_point(|exp| integral(ONE, exp));
    let inverse_factorials = [
        (1, 1),
        (1, 1),
        (1, 2),
        (1, 6),
        (1, 24),
        (1, 120),
        (1, 720),
        (1, 5040),
    ];
    check("exp", exp, &inverse_factorials);
    let tangent = fixed_point(|tangent| {
        let [a, b] = split(tangent);
        integral(ZERO, add(one(), multiply(a, b)))
    });
    let known = [
        (0, 1),
        (1, 1),
        (0, 1),
        (1, 3),
        (0, 1),
        (2, 15),
        (0, 1),
        (17, 315),
        (0, 1),
        (62, 2835),
    ];
    check("tan", tangent, &known);
    let [s1, s2] = split(sine());
    let [c1, c2] = split(derivative(sine()));
    let unit = add(multiply(s1, s2), multiply(c1, c2));
    check(
        "sin²+cos²",
        unit,
        &[[(1, 1)].as_slice(), &[(0, 1); 9]].concat(),
    );
}
