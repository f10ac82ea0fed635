//! `bt`: where goroutines stand, in Go's dump format.

use crate::observe::living;
use crate::shell::{Command, Misuse, interrupted};
use crate::{print, println};

pub(super) const COMMAND: Command = Command {
    name: "bt",
    usage: "ID|all",
    about: "shows where a goroutine stands, or all of them; Ctrl-C ends it",
    run: bt,
};

fn bt(args: &[&str]) -> Result<(), Misuse> {
    match args {
        ["all"] => {
            let whole = living::all(&mut |text| {
                print!("{text}");
                !interrupted()
            });
            if !whole {
                println!("...interrupted...");
            }
        }
        [id] => {
            let goid = id.parse().map_err(|_| Misuse)?;
            match living::one(goid) {
                Some(text) => print!("{text}"),
                None => println!("there is no goroutine {goid}: see ps"),
            }
        }
        _ => return Err(Misuse),
    }
    Ok(())
}
