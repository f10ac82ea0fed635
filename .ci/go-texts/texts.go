// The ends of programs in Go: the same scenarios and functions, by the same names, as in
// kernel/examples/texts.rs, whose texts .ci/go-texts.sh compares with these.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

var scenarios = map[string]func(){
	"deadlock": deadlock, "deadlock_all": deadlock_all, "deadlock_self": deadlock_self,
	"deadlock_select": deadlock_select, "deadlock_named": deadlock_named,
	"goexit": goexit, "goexit_blocked": goexit_blocked,
	"panic_main": panic_main, "panic_lines": panic_lines, "panic_goroutine": panic_goroutine,
	"panic_printing": panic_printing, "panic_others": panic_others,
	"negative_group": negative_group, "locked_main": locked_main, "locked_other": locked_other,
	"overflow": overflow, "overflow_goroutine": overflow_goroutine,
	"unlock_mutex": unlock_mutex, "unlock_read": unlock_read, "unlock_write": unlock_write,
	"schedtrace": schedtrace,
}

func main() {
	scenarios[os.Args[1]]()
	fmt.Println("main returns")
}

var held sync.Mutex
var written, read sync.RWMutex

//go:noinline
func receive(c chan uint8) {
	v := <-c
	fmt.Println("received", v)
}

//go:noinline
func wait_for_ever() {
	receive(make(chan uint8))
	fmt.Println("waited")
}

//go:noinline
func fail_at_work() {
	panic("work failed")
}

//go:noinline
func work() {
	fail_at_work()
	fmt.Println("worked")
}

//go:noinline
func deadlock() {
	wait_for_ever()
	fmt.Println("passed")
}

// Each waits for something else.
//
//go:noinline
func deadlock_all() {
	var group sync.WaitGroup
	group.Add(1)
	held.Lock()
	written.Lock()
	read.RLock()
	var own sync.Mutex
	change := sync.NewCond(&own)
	go lock_held()
	go read_written()
	go write_read()
	go send()
	go wait_for_ever()
	go receive_nil()
	go wait_for_change(change)
	group.Wait()
	fmt.Println("passed")
}

//go:noinline
func lock_held() { held.Lock(); fmt.Println("locked") }

//go:noinline
func read_written() { written.RLock(); fmt.Println("locked") }

//go:noinline
func write_read() { read.Lock(); fmt.Println("locked") }

//go:noinline
func send() { make(chan uint8) <- 1; fmt.Println("sent") }

//go:noinline
func receive_nil() { receive(nil); fmt.Println("received") }

//go:noinline
func wait_for_change(change *sync.Cond) {
	change.L.Lock()
	change.Wait()
	fmt.Println("changed")
}

//go:noinline
func deadlock_self() {
	held.Lock()
	lock_held()
	fmt.Println("passed")
}

//go:noinline
func deadlock_select() {
	go select_none()
	select_two(make(chan uint8), make(chan uint8))
	fmt.Println("passed")
}

//go:noinline
func select_none() { select {} }

//go:noinline
func select_two(a, b chan uint8) {
	select {
	case <-a:
	case <-b:
	}
	fmt.Println("selected")
}

//go:noinline
func deadlock_named() {
	none := context.Background()
	for _, name := range []string{"worker-1", "worker.2", "two words\t\u00e9"} {
		// A goroutine has the labels of the one that starts it.
		pprof.SetGoroutineLabels(pprof.WithLabels(none, pprof.Labels("name", name)))
		go wait_for_ever()
	}
	pprof.SetGoroutineLabels(none)
	wait_for_ever()
	fmt.Println("passed")
}

//go:noinline
func goexit() {
	go sleep_a_little()
	runtime.Goexit()
}

//go:noinline
func sleep_a_little() {
	time.Sleep(50 * time.Millisecond)
	fmt.Println("the other one ends")
}

//go:noinline
func goexit_blocked() {
	go wait_for_ever()
	runtime.Goexit()
}

//go:noinline
func panic_main() {
	fail_at_work()
	fmt.Println("passed")
}

//go:noinline
func panic_lines() {
	panic("first line\nsecond line\n\nfatal error: last line")
}

//go:noinline
func panic_goroutine() {
	go work()
	wait_for_ever()
	fmt.Println("passed")
}

type Bomb struct{}

//go:noinline
func (Bomb) Error() string {
	fail_at_work()
	return ""
}

//go:noinline
func panic_printing() {
	panic(Bomb{})
}

// One waits, one sleeps: what a report shows of them is the level's choice.
//
//go:noinline
func panic_others() {
	go wait_for_ever()
	go sleep_long()
	time.Sleep(50 * time.Millisecond)
	fail_at_work()
	fmt.Println("passed")
}

//go:noinline
func sleep_long() { time.Sleep(time.Hour); fmt.Println("slept") }

//go:noinline
func negative_group() {
	var group sync.WaitGroup
	group.Done()
	fmt.Println("passed")
}

//go:noinline
func locked_main() {
	runtime.LockOSThread()
	wait_for_ever()
	fmt.Println("passed")
}

//go:noinline
func locked_other() {
	go wait_locked()
	wait_for_ever()
	fmt.Println("passed")
}

//go:noinline
func wait_locked() { runtime.LockOSThread(); wait_for_ever(); fmt.Println("passed") }

//go:noinline
func descend(depth uint64) uint64 {
	if depth == 0 {
		return 0
	}
	return descend(depth+1) + depth
}

//go:noinline
func overflow() { fmt.Println(descend(1)) }

//go:noinline
func overflow_goroutine() {
	go overflow()
	wait_for_ever()
	fmt.Println("passed")
}

//go:noinline
func unlock_mutex() {
	var m sync.Mutex
	m.Unlock()
	fmt.Println("passed")
}

//go:noinline
func unlock_read() {
	var m sync.RWMutex
	m.RUnlock()
	fmt.Println("passed")
}

//go:noinline
func unlock_write() {
	var m sync.RWMutex
	m.Unlock()
	fmt.Println("passed")
}

// Under GODEBUG=schedtrace: one is locked, one waits, main works for a while.
//
//go:noinline
func schedtrace() {
	go wait_locked()
	go wait_for_ever()
	for start := time.Now(); time.Since(start) < 450*time.Millisecond; {
	}
	fmt.Println("passed")
}
