package sandbox

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Parents are OS threads that live until Close. A child that asks for a signal
// when its parent dies (PR_SET_PDEATHSIG) gets it when the thread dies that
// forked it, and Go ends threads: libcontainer has it do so for every
// container it sets up. So such children are forked here.
type Parents struct{ work chan func() }

// NewParents starts n threads.
func NewParents(n int) *Parents {
	p := &Parents{work: make(chan func())}
	started := make(chan struct{})
	for range n {
		go p.serve(started)
	}
	for range n {
		<-started
	}
	return p
}

func (p *Parents) serve(started chan<- struct{}) {
	runtime.LockOSThread() // never unlocked: the thread is ours alone
	if unix.Gettid() == unix.Getpid() {
		// The process's first thread does not end before the process, so Close
		// would not reach what it forked. Another takes its place, and we hold
		// this one until that is sure to run elsewhere.
		instead := make(chan struct{})
		go p.serve(instead)
		<-instead
		runtime.UnlockOSThread()
		started <- struct{}{}
		return
	}
	started <- struct{}{}
	for f := range p.work {
		f()
	}
}

// Do runs fn on one of the threads, to which the calling goroutine is as good
// as locked meanwhile, and waits for it.
func (p *Parents) Do(fn func() error) error {
	done := make(chan error, 1)
	p.work <- func() { done <- fn() }
	return <-done
}

// Close ends the threads, and with them what they forked, if it asked for it.
func (p *Parents) Close() { close(p.work) }
