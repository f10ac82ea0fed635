//! The Mandelbrot set as text: a goroutine for each row computes in floating point on any CPU, and
//! main puts the rows in order as they come.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec;
use gosched::{chan, go, println};

const WIDTH: u32 = 78;
const HEIGHT: u32 = 32;
/// From "leaves at once" to "stays".
const SHADES: &[u8] = b" .:-=+*#%@";
const MAX_STEPS: usize = 1000;

/// How many steps of z := z² + c stay within a radius of 2.
fn steps(re: f64, im: f64) -> usize {
    let (mut x, mut y) = (0.0, 0.0);
    (0..MAX_STEPS)
        .find(|_| {
            (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
            x * x + y * y > 4.0
        })
        .unwrap_or(MAX_STEPS)
}

fn row(y: u32) -> String {
    let im = f64::from(y) / f64::from(HEIGHT - 1) * 2.4 - 1.2;
    (0..WIDTH)
        .map(|x| {
            let steps = steps(f64::from(x) / f64::from(WIDTH - 1) * 3.2 - 2.3, im);
            let shade = steps.checked_ilog2().unwrap_or(0) as usize;
            char::from(SHADES[shade.min(SHADES.len() - 1)])
        })
        .collect()
}

#[gosched::main]
fn main() {
    let (tx, rows) = chan::bounded(8);
    for y in 0..HEIGHT {
        let tx = tx.clone();
        go(move || {
            let _ = tx.send((y as usize, row(y)));
        });
    }
    drop(tx);
    let mut picture = vec![String::new(); HEIGHT as usize];
    for (y, row) in rows {
        picture[y] = row;
    }
    for row in picture {
        println!("{row}");
    }
}
