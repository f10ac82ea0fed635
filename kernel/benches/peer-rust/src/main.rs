//! The benchmarks of ../peer/main.go, with the same names and loops, for Rust's runtimes: as the
//! only program of a Linux guest (/init) or as a program of the host. compare.sh runs them.
//!
//! The settings are main.go's and `peer.name`, which chooses the runtime. Each benchmark has a
//! process of its own: may and go-lib take the number of their threads once, and one that crashes
//! or never ends costs no other.

mod loops;
mod peers {
    pub mod go_lib;
    pub mod may;
    pub mod threads;
    pub mod tokio;
}

use std::ffi::CString;
use std::process::Command;
use std::time::Duration;

/// After this long a benchmark does not end any more.
const LIMIT_S: u32 = 30;

/// A runtime to measure.
pub struct Peer {
    pub benches: Vec<Bench>,
    /// Runs on one of its tasks, where it has `workers` threads.
    pub enter: fn(workers: usize, run: Box<dyn FnOnce() -> f64 + Send>) -> f64,
}

pub struct Bench {
    name: &'static str,
    one_p: bool,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// Does n iterations, a multiple of `batch`, and says how long they took.
    Loop {
        batch: usize,
        run: fn(usize) -> Duration,
    },
    /// A value of its own; `once` is for what does not repeat.
    Value {
        unit: &'static str,
        once: bool,
        run: fn() -> f64,
    },
}

impl Bench {
    pub fn new(name: &'static str, run: fn(usize) -> Duration) -> Self {
        Self {
            name,
            one_p: false,
            what: What::Loop { batch: 1, run },
        }
    }

    pub fn batched(name: &'static str, batch: usize, run: fn(usize) -> Duration) -> Self {
        Self {
            name,
            one_p: false,
            what: What::Loop { batch, run },
        }
    }

    pub fn value(name: &'static str, unit: &'static str, run: fn() -> f64) -> Self {
        Self {
            name,
            one_p: false,
            what: What::Value {
                unit,
                once: false,
                run,
            },
        }
    }

    pub fn once(name: &'static str, unit: &'static str, run: fn() -> f64) -> Self {
        Self {
            name,
            one_p: false,
            what: What::Value {
                unit,
                once: true,
                run,
            },
        }
    }

    /// The same on one CPU, by one thread of the runtime.
    pub fn one_p(self) -> Self {
        Self {
            one_p: true,
            ..self
        }
    }
}

struct Settings {
    name: String,
    wanted: regex_lite::Regex,
    samples: usize,
    sample: Duration,
    /// The benchmark that this process is for.
    run: Option<String>,
}

impl Settings {
    fn of(words: &[String]) -> Self {
        let value = |key| {
            words
                .iter()
                .rev()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let number = |key, default| value(key).map_or(default, |v| v.parse().expect(key));
        let wanted = format!("^({})$", value("peer.bench").unwrap_or(".*"));
        Self {
            name: value("peer.name").expect("peer.name").into(),
            wanted: regex_lite::Regex::new(&wanted).expect("peer.bench"),
            samples: number("peer.samples", 5) as usize,
            sample: Duration::from_millis(number("peer.sample_ms", 200)),
            run: value("peer.run").map(String::from),
        }
    }
}

fn peer(name: &str) -> Peer {
    match name {
        "tokio" => peers::tokio::peer(),
        "may" => peers::may::peer(),
        "go-lib" => peers::go_lib::peer(),
        "std" => peers::threads::peer(),
        _ => panic!("no peer {name}"),
    }
}

fn measure(peer: &Peer, bench: &Bench, settings: &Settings) {
    // SAFETY: plain data, and the call reads what it is given.
    unsafe {
        libc::alarm(LIMIT_S);
        if bench.one_p {
            let mut first: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut first);
            libc::sched_setaffinity(0, size_of_val(&first), &first);
        }
    }
    let (unit, mut values) = match bench.what {
        What::Loop { batch, run } => {
            let run = |n: usize| (peer.enter)(workers(), Box::new(move || nanoseconds(run(n))));
            let n = iterations(batch, nanoseconds(settings.sample), run);
            (
                "ns/iter",
                (0..settings.samples)
                    .map(|_| run(n) / n as f64)
                    .collect::<Vec<_>>(),
            )
        }
        What::Value { unit, once, run } => {
            let samples = if once { 1 } else { settings.samples };
            (
                unit,
                (0..samples)
                    .map(|_| (peer.enter)(workers(), Box::new(run)))
                    .collect(),
            )
        }
    };
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    println!("BENCH {} {median:.2} {:.2} {unit}", bench.name, values[0]);
}

/// How many iterations fill a sample; finding out warms up as well.
fn iterations(batch: usize, want: f64, run: impl Fn(usize) -> f64) -> usize {
    let mut n = batch;
    loop {
        let took = run(n);
        if took >= want / 2.0 {
            return n;
        }
        let factor = (0.8 * want / took).clamp(1.5, 8.0);
        n = ((n as f64 * factor) as usize / batch + 1) * batch;
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// The CPUs of this process, of which a benchmark may have given away all but one.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// As the guest's first process: the command line is in /proc, and there may be mappings enough for
/// the stacks of `mem_per_goroutine`.
fn be_init() -> Vec<String> {
    let proc = CString::from(c"proc");
    // SAFETY: strings that end with a zero, and a file system without data of its own.
    let failed = unsafe {
        libc::mount(
            proc.as_ptr(),
            c"/proc".as_ptr(),
            proc.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    assert_eq!(failed, 0, "mount: {}", std::io::Error::last_os_error());
    std::fs::write("/proc/sys/vm/max_map_count", "1000000").expect("max_map_count");
    let line = std::fs::read_to_string("/proc/cmdline").expect("/proc/cmdline");
    line.split_whitespace().map(String::from).collect()
}

fn main() {
    let is_init = std::process::id() == 1;
    let words = if is_init {
        println!("PEER-MAIN");
        be_init()
    } else {
        std::env::args().skip(1).collect()
    };
    let settings = Settings::of(&words);
    let peer = peer(&settings.name);
    if let Some(run) = &settings.run {
        let bench = peer
            .benches
            .iter()
            .find(|bench| bench.name == run)
            .expect("peer.run");
        return measure(&peer, bench, &settings);
    }
    for bench in peer
        .benches
        .iter()
        .filter(|bench| settings.wanted.is_match(bench.name))
    {
        let mut own = Command::new("/proc/self/exe");
        let status = own
            .args(&words)
            .arg(format!("peer.run={}", bench.name))
            .status();
        match status {
            Ok(status) if status.success() => {}
            failed => println!("PEER-FAILED {} {failed:?}", bench.name),
        }
    }
    println!("PEER-DONE {} {}", settings.name, workers());
    if is_init {
        // SAFETY: nothing is left to lose.
        unsafe {
            libc::sync();
            libc::reboot(libc::RB_POWER_OFF);
        }
    }
}
