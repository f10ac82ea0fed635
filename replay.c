// Loaded into QEMU (LD_PRELOAD) by `run-qemu.sh --replay`, which builds it: takes the host's scheduler
// out of the run.
//
// With -icount one thread of QEMU's executes all CPUs of the guest, in turns that end where a timer is
// due: a function of the instructions alone. Two other threads meddle at times that the host chooses:
//
// - The main loop is woken whenever a timer was due, and whenever all CPUs are halted. It then runs
//   timers itself, moves the clock on if it finds all CPUs halted, and kicks them. Where it comes
//   late, that falls into the CPUs' next turn, and another CPU goes first. So here it comes back from
//   its poll only while the CPUs' thread sleeps, which is when it is needed. What comes from outside,
//   such as the monitor's `quit`, is not held back. (The script lets the machine start when the
//   monitor has had its say.)
// - The thread that frees memory after an RCU grace period kicks a CPU to hurry it. It never starts
//   here; what it would free is little.
//
// Without this, one replay in ten or so came out otherwise on a busy host: a goroutine more or less
// had been stolen, and all after that was another run. It is C, and not a crate, since the
// workspace's flags make images of everything.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MAX_FDS = 1024, MAX_POLLED = 64 };

// By which QEMU's threads wake the main loop.
static atomic_bool internal[MAX_FDS];
// Whether the CPUs' thread runs. It holds QEMU's big lock when it begins to wait and when it comes
// back, and so does whoever wakes it; so the main loop, which lets go of the lock to poll, knows here
// whether it has just woken it.
static atomic_bool running;
static _Atomic(pthread_cond_t *) waits_for;
// Ends the main loop's wait here: the CPUs' thread sleeps, or another thread has something.
static atomic_bool main_waits, others_want;
static int end_wait = -1;
static _Thread_local int is_cpus;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int is_internal(int fd) { return fd >= 0 && fd < MAX_FDS && internal[fd]; }

int eventfd(unsigned int count, int flags) {
    REAL(eventfd);
    int fd = real(count, flags);
    if (fd >= 0 && fd < MAX_FDS) internal[fd] = 1;
    return fd;
}

// QEMU's threads name themselves before all else, with -name debug-threads=on.
int pthread_setname_np(pthread_t thread, const char *name) {
    REAL(pthread_setname_np);
    if (strcmp(name, "call_rcu") == 0)
        for (;;) pause();
    if (strncmp(name, "CPU ", 4) == 0 || strncmp(name, "ALL CPUs", 8) == 0) {
        end_wait = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        is_cpus = 1;
        running = 1;
    }
    return real(thread, name);
}

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
    REAL(pthread_cond_wait);
    if (!is_cpus) return real(cond, mutex);
    waits_for = cond;
    running = 0;
    if (main_waits) eventfd_write(end_wait, 1);
    int status = real(cond, mutex);
    running = 1;
    return status;
}

int pthread_cond_broadcast(pthread_cond_t *cond) {
    REAL(pthread_cond_broadcast);
    if (cond == waits_for) running = 1;
    return real(cond);
}

// The monitor has a thread of its own, which wakes the main loop for each command.
ssize_t write(int fd, const void *bytes, size_t n) {
    REAL(write);
    ssize_t written = real(fd, bytes, n);
    if (is_internal(fd) && fd != end_wait && !is_cpus && getpid() != gettid()) {
        others_want = 1;
        if (end_wait >= 0) eventfd_write(end_wait, 1);
    }
    return written;
}

static int from_outside(const struct pollfd *fds, nfds_t n) {
    if (others_want) return 1;
    for (nfds_t i = 0; i < n; i++)
        if (fds[i].revents && !is_internal(fds[i].fd)) return 1;
    return 0;
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
    REAL(ppoll);
    static const struct timespec zero;
    // What came from outside takes the main loop several rounds, in which it wakes itself.
    static int at_work;
    if (getpid() != gettid() || n >= MAX_POLLED) return real(fds, n, timeout, mask);
    if (at_work) {
        int ready = real(fds, n, &zero, mask);
        if (ready != 0 || others_want) {
            others_want = 0;
            return ready;
        }
        at_work = 0;
    }
    int ready = real(fds, n, timeout, mask);
    main_waits = 1;
    while (running && !from_outside(fds, n)) {
        struct pollfd until[MAX_POLLED] = {{.fd = end_wait, .events = POLLIN}};
        for (nfds_t i = 0; i < n; i++) {
            until[i + 1] = fds[i];
            if (is_internal(fds[i].fd)) until[i + 1].fd = -1;
        }
        real(until, n + 1, NULL, mask);
        eventfd_t count;
        eventfd_read(end_wait, &count);
        ready = real(fds, n, &zero, mask);
    }
    main_waits = 0;
    at_work = from_outside(fds, n);
    others_want = 0;
    return ready;
}
