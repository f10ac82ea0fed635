//! What shall go wrong on purpose: the value of `faults=` on the kernel command line.
//!
//! Kinds with a number behind a colon, commas between them: `faults=lost:5,late:10,block:40+`.
//! Chances are drawn from `seed`, so under `--replay` the same faults come at the same instants.
//! What comes of each is a promise that `.ci/injected.sh` holds the kernel to: correct work or a
//! report in words, never a hang, never silence.
//!
//! Pure, as [`options`](crate::base::options): `arch` and `mem` carry it out.

use core::fmt;

use crate::arch::faults::Faults as Machine;

/// What a value may hold, for errors and help.
pub const ALLOWED: &str = "kinds with a number, as lost:5,block:40+ (see the README)";

/// The faults of one boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Those of the machine.
    pub machine: Machine,
    /// The block of the heap, counted from boot, that is refused.
    pub block: Option<Nth>,
    /// The frame of memory, counted from boot, that is refused.
    pub frame: Option<Nth>,
}

/// One of many requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nth {
    /// Its number, from 1.
    pub n: u32,
    /// All later ones as well.
    pub and_later: bool,
}

impl Faults {
    /// Reads a value; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut faults = Self::default();
        for word in text.split(',') {
            let (kind, number) = word.split_once(':')?;
            faults.set(kind, number)?;
        }
        Some(faults)
    }

    fn set(&mut self, kind: &str, number: &str) -> Option<()> {
        match kind {
            "block" => put(&mut self.block, Nth::parse(number)?),
            "frame" => put(&mut self.frame, Nth::parse(number)?),
            _ => {
                let (_, max, place) = of_machine(&mut self.machine)
                    .into_iter()
                    .find(|(name, ..)| *name == kind)?;
                let first = *place == 0;
                *place = read(number, 1..=max)? as u8;
                first.then_some(())
            }
        }
    }
}

/// The kinds of the machine, with the greatest number and the place of each.
fn of_machine(faults: &mut Machine) -> [(&'static str, u32, &mut u8); 6] {
    [
        ("lost", 100, &mut faults.lost),
        ("doubled", 100, &mut faults.doubled),
        ("spurious", 100, &mut faults.spurious),
        ("nmi", 100, &mut faults.nmi),
        ("late", 100, &mut faults.late),
        ("absent", 63, &mut faults.absent),
    ]
}

/// Fills a place; `None` if it was filled before.
fn put<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn read(digits: &str, allowed: core::ops::RangeInclusive<u32>) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| plain)?;
    allowed.contains(&number).then_some(number)
}

impl Nth {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('+');
        Some(Self {
            n: read(digits.unwrap_or(text), 1..=u32::MAX)?,
            and_later: digits.is_some(),
        })
    }
}

impl fmt::Display for Nth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.n, if self.and_later { "+" } else { "" })
    }
}

impl fmt::Display for Faults {
    /// As [`Faults::parse`] reads it; nothing if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut word = |kind: &str, number: &dyn fmt::Display| {
            write!(f, "{comma}{kind}:{number}")?;
            comma = ",";
            Ok(())
        };
        let mut machine = self.machine;
        for (kind, _, number) in of_machine(&mut machine) {
            if *number != 0 {
                word(kind, number)?;
            }
        }
        for (kind, nth) in [("block", self.block), ("frame", self.frame)] {
            if let Some(nth) = nth {
                word(kind, &nth)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
