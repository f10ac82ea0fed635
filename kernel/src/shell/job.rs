//! Jobs: programs that `run` has started, with all goroutines that descend from them.
//!
//! A program runs in a goroutine of its own, whose job number its descendants inherit. The shell
//! waits for its end, or, with `&`, tells of it at the next prompt. Ctrl-C and `kill` stop a job:
//! see `sched::disable`. Where preemption cannot be forced, a goroutine without calls runs on.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::chan::{self, Receiver, RecvTimeoutError};
use crate::sched::disable::{self, MAX_JOBS};
use crate::sched::newproc::{self, Attributes};
use crate::shell::commands::no_arguments;
use crate::shell::{Command, Misuse};
use crate::sync::Mutex;
use crate::{print, println, shell};

struct Job {
    number: u32,
    program: &'static Command,
    /// Gets what the program returns; disconnected when its goroutine leaves another way.
    end: Receiver<Result<(), Misuse>>,
    /// It was told that the program has ended, or was stopped.
    over: bool,
}

/// Jobs that have goroutines, or whose end nobody was told of.
static JOBS: Mutex<Vec<Job>> = Mutex::new(Vec::new());

/// How often the shell looks whether Ctrl-C was typed while it waits.
const LOOK: Duration = Duration::from_millis(20);

/// How a program went.
pub(super) enum Outcome {
    Done,
    Misused,
    /// By Ctrl-C.
    Stopped,
    /// It could not begin, and why.
    Refused(&'static str),
}

/// Runs a program, and waits for its end unless it is to go on in the background.
pub(super) fn run(program: &'static Command, args: &[&str], background: bool) -> Outcome {
    let mut jobs = JOBS.lock();
    jobs.retain(|job| !job.over || disable::members(job.number) > 0);
    let taken = |n: &u32| {
        jobs.iter().any(|job| job.number == *n)
            || disable::is_stopped(*n)
            || disable::members(*n) > 0
    };
    let Some(number) = (1..MAX_JOBS).find(|n| !taken(n)) else {
        return Outcome::Refused("too many jobs");
    };
    let (tx, end) = chan::bounded(1);
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let body = move || {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        // The shell may have gone on.
        let _ = tx.send((program.run)(&words));
    };
    let attributes = Attributes {
        name: Some(program.name.into()),
        job: Some(number),
        ..Attributes::default()
    };
    if newproc::newproc(body, attributes).is_err() {
        return Outcome::Refused("no memory for a goroutine");
    }
    let watched = end.clone();
    jobs.push(Job {
        number,
        program,
        end,
        over: false,
    });
    drop(jobs);
    if background {
        println!("[{number}] {}", program.name);
        return Outcome::Done;
    }
    wait(number, &watched)
}

/// Waits for the end of a job, or for Ctrl-C, which ends it.
fn wait(number: u32, end: &Receiver<Result<(), Misuse>>) -> Outcome {
    let outcome = loop {
        match end.recv_timeout(LOOK) {
            Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => break Outcome::Done,
            Ok(Err(Misuse)) => break Outcome::Misused,
            Err(RecvTimeoutError::Timeout) if shell::interrupted() => {
                stop(number);
                return Outcome::Stopped;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    with(number, |job| job.over = true);
    outcome
}

/// Calls `f` with a job, if there is one of that number.
fn with<R>(number: u32, f: impl FnOnce(&mut Job) -> R) -> Option<R> {
    JOBS.lock()
        .iter_mut()
        .find(|job| job.number == number)
        .map(f)
}

/// Stops a job and says what is left. False if there is none.
fn stop(number: u32) -> bool {
    let Some(name) = with(number, |job| {
        job.over = true;
        job.program.name
    }) else {
        return false;
    };
    let (members, still) = disable::stop_job(number);
    let plural = if members == 1 { "" } else { "s" };
    println!("[{number}] stopped {name}: {members} goroutine{plural} will not run again");
    if !still {
        println!("[{number}] one of them does not yield: it runs on until it does");
    }
    true
}

/// Before a prompt: tells of the jobs that have ended since the last one.
pub(super) fn tell_ended() {
    let mut text = String::new();
    for job in JOBS.lock().iter_mut().filter(|job| !job.over) {
        let how = match job.end.try_recv() {
            Ok(Ok(())) | Err(chan::TryRecvError::Disconnected) => "done",
            Ok(Err(Misuse)) => "misused",
            Err(chan::TryRecvError::Empty) => continue,
        };
        job.over = true;
        text += &alloc::format!(
            "[{}] {how} {}{}\n",
            job.number,
            job.program.name,
            Left(job.number)
        );
    }
    print!("{text}");
}

/// The goroutines that a job has.
struct Left(u32);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match disable::members(self.0) {
            0 => Ok(()),
            1 => f.write_str(", 1 goroutine is left"),
            n => write!(f, ", {n} goroutines are left"),
        }
    }
}

pub(super) const LIST: Command = Command {
    name: "jobs",
    usage: "",
    about: "programs that run, or that left goroutines behind",
    run: |args| {
        no_arguments(args)?;
        let mut text = String::new();
        for job in JOBS.lock().iter() {
            let members = disable::members(job.number);
            let state = match (disable::is_stopped(job.number), job.over) {
                (true, _) => "stopped",
                (_, true) => "done",
                _ => "running",
            };
            if members > 0 || !job.over {
                text += &alloc::format!(
                    "[{}] {state:<8} {:<12} {members} goroutines\n",
                    job.number,
                    job.program.name
                );
            }
        }
        print!("{text}");
        Ok(())
    },
};

pub(super) const KILL: Command = Command {
    name: "kill",
    usage: "JOB",
    about: "stops a job: its goroutines never run again",
    run: |args| {
        let [number] = args else { return Err(Misuse) };
        let number = number.parse().map_err(|_| Misuse)?;
        if !stop(number) {
            println!("there is no job {number}: see jobs");
        }
        Ok(())
    },
};
