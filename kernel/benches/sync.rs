//! What the locks and groups cost when nobody else wants them. `ICOUNT=1 SMP=1 cargo bench --bench
//! sync` counts instructions: there one nanosecond of guest time is one instruction.
#![no_std]
#![no_main]

use gosched::Bencher;
use gosched::sync::{Condvar, Mutex, Once, Pool, RwLock, Semaphore, WaitGroup};

/// `lock` and unlock (Go: BenchmarkMutexUncontended).
#[gosched::bench]
fn mutex_uncontended(b: &mut Bencher) {
    static MUTEX: Mutex<u64> = Mutex::new(0);
    b.iter(|| *MUTEX.lock() += 1);
}

/// `read` and the end of it (Go: BenchmarkRWMutexUncontended).
#[gosched::bench]
fn rwmutex_read(b: &mut Bencher) {
    static LOCK: RwLock<u64> = RwLock::new(0);
    b.iter(|| *LOCK.read());
}

/// `write` and the end of it.
#[gosched::bench]
fn rwmutex_write(b: &mut Bencher) {
    static LOCK: RwLock<u64> = RwLock::new(0);
    b.iter(|| *LOCK.write() += 1);
}

/// `add` and `done`, of which none waits or wakes (Go: BenchmarkWaitGroupUncontended).
#[gosched::bench]
fn waitgroup_add_done(b: &mut Bencher) {
    let group = WaitGroup::new();
    b.iter(|| {
        group.add(1);
        group.done();
    });
}

/// `wait` for nobody.
#[gosched::bench]
fn waitgroup_wait_open(b: &mut Bencher) {
    let group = WaitGroup::new();
    b.iter(|| group.wait());
}

/// A permit taken and given back.
#[gosched::bench]
fn semaphore_uncontended(b: &mut Bencher) {
    static SEMAPHORE: Semaphore = Semaphore::new(4);
    b.iter(|| {
        SEMAPHORE.acquire(1);
        SEMAPHORE.release(1);
    });
}

/// A notification that nobody waits for.
#[gosched::bench]
fn condvar_notify_nobody(b: &mut Bencher) {
    static CONDVAR: Condvar = Condvar::new();
    b.iter(|| CONDVAR.notify_one());
}

/// A call of what is done already (Go: BenchmarkOnce).
#[gosched::bench]
fn once_done(b: &mut Bencher) {
    static ONCE: Once = Once::new();
    b.iter(|| ONCE.call_once(|| ()));
}

/// A value taken from the pool and put back (Go: BenchmarkPool).
#[gosched::bench]
fn pool_get_put(b: &mut Bencher) {
    static POOL: Pool<u64> = Pool::new(|| 0);
    b.iter(|| POOL.put(POOL.get()));
}

gosched::bench_main!();
