//! `prof`: takes profiles, shows who leads, and writes them for `go tool pprof`.

use alloc::string::String;
use core::time::Duration;

use crate::base::file_name::is_file_name;
use crate::observe::hostfile;
use crate::print;
use crate::runtime::pprof::{self, DEFAULT_HZ, Profile};
use crate::shell::{Command, Misuse, print_lines};
use crate::{println, runtime, shell, time};

pub(super) const COMMAND: Command = Command {
    name: "prof",
    usage: "cpu SECONDS [HZ] [FILE] | goroutine [FILE] | block|mutex [on|off|FILE]",
    about: "takes a profile for go tool pprof; FILE - is the console",
    run: prof,
};

/// Rows of the table.
const ROWS: usize = 10;
/// The longest CPU profile: a day.
const MAX_SECONDS: f64 = 86_400.0;
/// How often a profile that is being taken looks for Ctrl-C.
const STEP: Duration = Duration::from_millis(50);

fn prof(args: &[&str]) -> Result<(), Misuse> {
    match args {
        ["cpu", seconds, rest @ ..] => cpu(seconds, rest),
        ["goroutine", file @ ..] => show("goroutine", file),
        ["block", "on"] => set("block", runtime::set_block_profile_rate(1)),
        ["block", "off"] => set("block", runtime::set_block_profile_rate(0)),
        ["mutex", "on"] => set("mutex", runtime::set_mutex_profile_fraction(1).map(drop)),
        ["mutex", "off"] => set("mutex", runtime::set_mutex_profile_fraction(0).map(drop)),
        [name @ ("block" | "mutex"), file @ ..] => show(name, file),
        _ => Err(Misuse),
    }
}

fn set(name: &str, result: Result<(), runtime::OutOfMemory>) -> Result<(), Misuse> {
    if result.is_err() {
        println!("prof: no memory for the table of the {name} profile");
    }
    Ok(())
}

fn cpu(seconds: &str, rest: &[&str]) -> Result<(), Misuse> {
    let seconds: f64 = seconds.parse().map_err(|_| Misuse)?;
    if !(seconds > 0.0 && seconds <= MAX_SECONDS) {
        println!("prof: a CPU profile takes up to {MAX_SECONDS} seconds");
        return Ok(());
    }
    let (hz, file) = match rest {
        [hz, file @ ..] if hz.bytes().all(|byte| byte.is_ascii_digit()) => {
            (hz.parse().unwrap_or(u32::MAX), file)
        }
        file => (DEFAULT_HZ, file),
    };
    let Some(place) = Place::of("cpu", file)? else {
        return Ok(());
    };
    if let Err(error) = pprof::start_cpu_profile(hz) {
        println!("prof: {error}");
        return Ok(());
    }
    let end = time::Instant::now() + Duration::from_secs_f64(seconds);
    while !shell::interrupted() && time::Instant::now() < end {
        time::sleep(STEP.min(end.saturating_duration_since(time::Instant::now())));
    }
    match pprof::stop_cpu_profile() {
        Some(profile) => place.put(&profile),
        None => println!("prof: somebody else has ended the profile"),
    }
    Ok(())
}

fn show(name: &str, file: &[&str]) -> Result<(), Misuse> {
    let Some(place) = Place::of(name, file)? else {
        return Ok(());
    };
    if let Some(profile) = pprof::lookup(name) {
        if name != "goroutine" && profile.stacks().samples.is_empty() {
            println!("prof: nothing was counted; prof {name} on begins to count");
        }
        place.put(&profile);
    }
    Ok(())
}

/// Where a profile goes.
enum Place {
    File(String),
    Console,
}

impl Place {
    /// What the words say; with none of them a file if there is a port for it. None: it cannot be,
    /// and why was said, before a profile is taken in vain.
    fn of(profile: &str, words: &[&str]) -> Result<Option<Self>, Misuse> {
        Ok(match words {
            ["-"] => Some(Place::Console),
            [file] if !hostfile::is_attached() => refuse(file, hostfile::Error::NoPort),
            [file] if !is_file_name(file) => refuse(file, hostfile::Error::BadName),
            [file] => Some(Place::File(String::from(*file))),
            [] if hostfile::is_attached() => Some(Place::File(alloc::format!("{profile}.pprof"))),
            [] => Some(Place::Console),
            _ => return Err(Misuse),
        })
    }

    fn put(&self, profile: &Profile) {
        print!("{}", profile.top(ROWS));
        match self {
            Place::Console => print_lines(&profile.text()),
            Place::File(file) => match hostfile::write(file, &profile.encode()) {
                Ok(()) => println!("written to {file}: go tool pprof {file}"),
                Err(error) => println!("prof: {file}: {error}"),
            },
        }
    }
}

fn refuse(file: &str, error: hostfile::Error) -> Option<Place> {
    println!("prof: {file}: {error}");
    None
}
