// The benchmarks of this folder's Rust files, with the same names and the same loops, for Go: as
// the only program of a Linux guest (/init) or as a program of the host. compare.sh runs both.
//
// Prints for each benchmark
//
//	BENCH name median min unit
//
// and at the end PEER-DONE. As /init it takes its settings from the kernel's command line
// (peer.bench=REGEXP peer.samples=N peer.sample_ms=MS), else from the same words as arguments.
package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	samples  = 5
	sampleMs = 200
	wanted   = regexp.MustCompile("")
	procs    int
)

// A benchmark: run does n iterations and says how long they took.
type bench struct {
	name string
	oneP bool
	// Iterations come in multiples of it.
	batch int
	run   func(n int) time.Duration
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func report(name, unit string, values []float64) {
	slices.Sort(values)
	fmt.Printf("BENCH %s %.2f %.2f %s\n", name, values[len(values)/2], values[0], unit)
}

// measure finds how many iterations fill a sample, which warms up as well, and takes the samples.
func measure(b bench) {
	if b.oneP {
		runtime.GOMAXPROCS(1)
		defer runtime.GOMAXPROCS(procs)
	}
	runtime.GC()
	want := time.Duration(sampleMs) * time.Millisecond
	batch := max(b.batch, 1)
	n := batch
	for {
		took := b.run(n)
		if took >= want/2 {
			break
		}
		factor := 8.0
		if took > 0 {
			factor = min(factor, max(1.5, 0.8*float64(want)/float64(took)))
		}
		n = (int(float64(n)*factor)/batch + 1) * batch
	}
	values := make([]float64, samples)
	for i := range values {
		values[i] = float64(b.run(n)) / float64(n)
	}
	report(b.name, "ns/iter", values)
}

// ---- Goroutines ----

func spawnExit(n int) time.Duration {
	return timed(func() {
		for range n / 1000 {
			var all sync.WaitGroup
			all.Add(1000)
			for range 1000 {
				go all.Done()
			}
			all.Wait()
		}
	})
}

func spawnExitSeq(n int) time.Duration {
	return timed(func() {
		for range n {
			var one sync.WaitGroup
			one.Go(func() {})
			one.Wait()
		}
	})
}

func yields(n int) {
	for range n {
		runtime.Gosched()
	}
}

func gosched2(n int) time.Duration {
	return timed(func() {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { yields(n / 2) })
		}
		both.Wait()
	})
}

// ---- Channels ----

func pingpong(n int) time.Duration {
	ping, pong := make(chan uint64), make(chan uint64)
	go func() {
		for v := range ping {
			pong <- v
		}
	}()
	defer close(ping)
	return timed(func() {
		for range n {
			ping <- 1
			<-pong
		}
	})
}

func uncontended(n int) time.Duration {
	c := make(chan uint64, 1)
	return timed(func() {
		for range n {
			c <- 1
			<-c
		}
	})
}

func bufStream(n int) time.Duration {
	c := make(chan uint64, 128)
	return timed(func() {
		go func() {
			for i := range uint64(n) {
				c <- i
			}
			close(c)
		}()
		sum := uint64(0)
		for v := range c {
			sum += v
		}
		check(sum == uint64(n)*uint64(n-1)/2)
	})
}

func mpmc(n int) time.Duration {
	c := make(chan uint64, 64)
	var senders, receivers sync.WaitGroup
	var got atomic.Uint64
	return timed(func() {
		for range 4 {
			senders.Go(func() {
				for i := range uint64(n / 4) {
					c <- i
				}
			})
			receivers.Go(func() {
				count := uint64(0)
				for range c {
					count++
				}
				got.Add(count)
			})
		}
		senders.Wait()
		close(c)
		receivers.Wait()
		check(got.Load() == uint64(n/4*4))
	})
}

func select2(n int) time.Duration {
	a, b := make(chan uint64, 1), make(chan uint64, 1)
	a <- 0
	return timed(func() {
		for range n {
			other := a
			select {
			case <-a:
				other = b
			case <-b:
			}
			other <- 0
		}
	})
}

func selectDefault(n int) time.Duration {
	c := make(chan uint64, 1)
	return timed(func() {
		for range n {
			select {
			case <-c:
				panic("nobody sends")
			default:
			}
		}
	})
}

func select2Default(n int) time.Duration {
	a, b := make(chan uint64, 1), make(chan uint64, 1)
	return timed(func() {
		for range n {
			select {
			case <-a:
				panic("nobody sends")
			case <-b:
				panic("nobody sends")
			default:
			}
		}
	})
}

func selectBlock(n int) time.Duration {
	a, b, ack := make(chan uint64), make(chan uint64), make(chan uint64)
	go func() {
		for i := range n {
			to := a
			if i%2 == 1 {
				to = b
			}
			to <- 1
			<-ack
		}
	}()
	return timed(func() {
		for range n {
			select {
			case <-a:
			case <-b:
			}
			ack <- 1
		}
	})
}

// ---- Locks ----

func mutexUncontended(n int) time.Duration {
	var mu sync.Mutex
	count := 0
	return timed(func() {
		for range n {
			mu.Lock()
			count++
			mu.Unlock()
		}
	})
}

// Four goroutines for each P share n calls of f.
func shared(n int, f func()) time.Duration {
	goroutines := 4 * runtime.GOMAXPROCS(0)
	return timed(func() {
		var all sync.WaitGroup
		for range goroutines {
			all.Go(func() {
				for range n / goroutines {
					f()
				}
			})
		}
		all.Wait()
	})
}

func mutexContended(n int) time.Duration {
	var mu sync.Mutex
	count := 0
	took := shared(n, func() {
		mu.Lock()
		count++
		mu.Unlock()
	})
	goroutines := 4 * runtime.GOMAXPROCS(0)
	check(count == n/goroutines*goroutines)
	return took
}

func rwmutexRead(n int) time.Duration {
	var mu sync.RWMutex
	return timed(func() {
		for range n {
			mu.RLock()
			mu.RUnlock()
		}
	})
}

func rwmutexReadPar(n int) time.Duration {
	var mu sync.RWMutex
	return shared(n, func() {
		mu.RLock()
		mu.RUnlock()
	})
}

func waitgroupAddDone(n int) time.Duration {
	var group sync.WaitGroup
	return timed(func() {
		for range n {
			group.Add(1)
			group.Done()
		}
	})
}

// ---- Programs ----

func ring(n int) time.Duration {
	const size = 1000
	done := make(chan struct{})
	first := make(chan int)
	link := first
	for i := range size {
		to := first
		if i+1 < size {
			to = make(chan int)
		}
		go func(from <-chan int, to chan<- int) {
			for token := range from {
				if token == 0 {
					done <- struct{}{}
				} else {
					to <- token - 1
				}
			}
			if i+1 < size {
				close(to)
			}
		}(link, to)
		link = to
	}
	defer close(first)
	first <- size
	<-done
	return timed(func() {
		first <- n
		<-done
	})
}

func sieveOnce() {
	var stop atomic.Bool
	source := make(chan int)
	go func() {
		for i := 2; !stop.Load(); i++ {
			source <- i
		}
		close(source)
	}()
	numbers := source
	prime := 0
	for i := range 500 {
		prime = <-numbers
		if i == 499 {
			break
		}
		next := make(chan int)
		go func(from <-chan int, to chan<- int, prime int) {
			for n := range from {
				if n%prime != 0 {
					to <- n
				}
			}
			close(to)
		}(numbers, next, prime)
		numbers = next
	}
	check(prime == 3571)
	stop.Store(true)
	go func() {
		for range numbers { // what is on its way, so that all end
		}
	}()
}

func sieve(n int) time.Duration {
	return timed(func() {
		for range n {
			sieveOnce()
		}
	})
}

func fib(n int, out chan<- int) {
	if n < 2 {
		out <- n
		return
	}
	c := make(chan int)
	go fib(n-1, c)
	go fib(n-2, c)
	out <- <-c + <-c
}

func spawnTree(n int) time.Duration {
	return timed(func() {
		for range n {
			c := make(chan int)
			go fib(20, c)
			check(<-c == 6765)
		}
	})
}

// ---- Latency, memory, scaling: not times of an iteration ----

func next(x uint64) uint64 {
	x ^= x << 13
	x ^= x >> 7
	return x ^ x<<17
}

const seed = 88172645463325252

func timerHeap() (unit string, value float64) {
	const timers = 100000
	all := make([]*time.Timer, 0, timers)
	x := uint64(seed)
	took := timed(func() {
		for range timers {
			x = next(x)
			after := time.Hour + time.Duration(x%uint64(time.Hour))
			all = append(all, time.AfterFunc(after, func() {}))
		}
		for _, timer := range all {
			check(timer.Stop())
		}
	})
	return "ns/timer", float64(took) / timers
}

func percentile(values []float64, percent int) float64 {
	slices.Sort(values)
	return values[min(len(values)*percent/100, len(values)-1)]
}

func overshoot(sleep time.Duration, percent int) func() (string, float64) {
	return func() (string, float64) {
		var mu sync.Mutex
		var late []float64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 100 {
					took := timed(func() { time.Sleep(sleep) })
					mu.Lock()
					late = append(late, float64(took-sleep)/1e3)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return "us", percentile(late, percent)
	}
}

var sink atomic.Uint64

func preemptLatency(percent int) func() (string, float64) {
	return func() (string, float64) {
		var stop atomic.Bool
		var all sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			all.Go(func() {
				x := uint64(1)
				for !stop.Load() {
					x = next(x)
				}
				sink.Store(x)
			})
		}
		const nap = 5 * time.Millisecond
		var late []float64
		for range 20 {
			took := timed(func() { time.Sleep(nap) })
			late = append(late, float64(took-nap)/1e6)
		}
		stop.Store(true)
		all.Wait()
		return "ms", percentile(late, percent)
	}
}

// What 100,000 parked goroutines take of what the runtime has from the system.
func memPerGoroutine() (string, float64) {
	const n = 100000
	taken := func() uint64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapSys - stats.HeapReleased + stats.StackSys
	}
	runtime.GC()
	before := taken()
	hold := make(chan struct{})
	var started atomic.Int64
	for range n {
		go func() {
			started.Add(1)
			<-hold
		}()
	}
	for started.Load() != n {
		time.Sleep(time.Millisecond)
	}
	bytes := float64(taken()-before) / n
	close(hold)
	return "B", bytes
}

func parallelScaling() (string, float64) {
	const steps = 200000
	step := func() time.Duration {
		return timed(func() {
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					x := uint64(seed)
					for range steps {
						x = next(x)
					}
					sink.Add(x)
				})
			}
			all.Wait()
		})
	}
	runtime.GOMAXPROCS(1)
	one := step()
	runtime.GOMAXPROCS(procs)
	return "x", float64(one) / float64(step())
}

func check(truth bool) {
	if !truth {
		panic("a benchmark's result is wrong")
	}
}

func benches() []bench {
	return []bench{
		{name: "spawn_exit", batch: 1000, run: spawnExit},
		{name: "spawn_exit_seq", run: spawnExitSeq},
		{name: "gosched_1", oneP: true, run: func(n int) time.Duration {
			return timed(func() { yields(n) })
		}},
		{name: "gosched_2", oneP: true, batch: 2, run: gosched2},
		{name: "chan_unbuf_pingpong", oneP: true, run: pingpong},
		{name: "chan_unbuf_pingpong_mp", run: pingpong},
		{name: "chan_buf_stream", run: bufStream},
		{name: "chan_buf_stream_p1", oneP: true, run: bufStream},
		{name: "chan_mpmc", batch: 4, run: mpmc},
		{name: "chan_mpmc_p1", oneP: true, batch: 4, run: mpmc},
		{name: "chan_uncontended", run: uncontended},
		{name: "select_2", run: select2},
		{name: "select_default", run: selectDefault},
		{name: "select_2_default", run: select2Default},
		{name: "select_block", oneP: true, run: selectBlock},
		{name: "mutex_uncontended", run: mutexUncontended},
		{name: "mutex_contended", run: mutexContended},
		{name: "rwmutex_read", run: rwmutexRead},
		{name: "rwmutex_read_par", run: rwmutexReadPar},
		{name: "waitgroup_add_done", run: waitgroupAddDone},
		{name: "ring_1000", run: ring},
		{name: "ring_1000_p1", oneP: true, run: ring},
		{name: "sieve", run: sieve},
		{name: "sieve_p1", oneP: true, run: sieve},
		{name: "spawn_tree", run: spawnTree},
		{name: "spawn_tree_p1", oneP: true, run: spawnTree},
	}
}

// Benchmarks that measure a value of their own; once is for what does not repeat.
var values = []struct {
	name  string
	once  bool
	value func() (string, float64)
}{
	{"mem_per_goroutine", true, memPerGoroutine},
	{"timer_heap", false, timerHeap},
	{"sleep_latency", false, overshoot(time.Millisecond, 50)},
	{"sleep_latency_p99", false, overshoot(time.Millisecond, 99)},
	{"sleep_latency_10us", false, overshoot(10*time.Microsecond, 50)},
	{"sleep_latency_10us_p99", false, overshoot(10*time.Microsecond, 99)},
	{"preempt_latency", false, preemptLatency(50)},
	{"preempt_latency_max", false, preemptLatency(100)},
	{"parallel_scaling", false, parallelScaling},
}

func setting(word string) {
	key, value, _ := strings.Cut(word, "=")
	number, err := strconv.Atoi(value)
	switch key {
	case "peer.bench":
		wanted, err = regexp.Compile("^(" + value + ")$")
	case "peer.samples":
		samples = number
	case "peer.sample_ms":
		sampleMs = number
	default:
		return // a word of the kernel's
	}
	if err != nil {
		panic(word)
	}
}

// As the guest's first process: the command line is in /proc, and the end is power off.
func beInit() {
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		panic(err)
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		panic(err)
	}
	for word := range strings.FieldsSeq(string(line)) {
		setting(word)
	}
}

func main() {
	isInit := os.Getpid() == 1
	fmt.Println("PEER-MAIN")
	if isInit {
		beInit()
	} else {
		for _, word := range os.Args[1:] {
			setting(word)
		}
	}
	procs = runtime.NumCPU()
	// First: later the runtime has dead goroutines to use again.
	for _, v := range values {
		if wanted.MatchString(v.name) {
			var unit string
			var all []float64
			for range samples {
				u, value := v.value()
				unit, all = u, append(all, value)
				if v.once {
					break
				}
			}
			report(v.name, unit, all)
		}
	}
	for _, b := range benches() {
		if wanted.MatchString(b.name) {
			measure(b)
		}
	}
	fmt.Println("PEER-DONE", runtime.Version(), procs)
	if isInit {
		syscall.Sync()
		_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	}
}
