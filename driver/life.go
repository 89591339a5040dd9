package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/report"
	"github.com/nestbox/nestbox/sandbox"
)

// life is one boot of a machine, from power-on to the end of its init.
type life struct {
	m       *machine
	ct      *sandbox.Container
	host    *sandbox.Host
	started time.Time

	gone    chan struct{} // closed when all of it is gone
	stopped bool          // we ended it; m.mu

	news   sync.Mutex
	booted bool            // systemd said so
	active map[string]bool // targets that systemd said are active
	heard  chan struct{}   // closed, and made anew, when systemd says something

	once     sync.Once
	readyErr error
	up       chan struct{} // closed when readyErr is known
}

func newLife(m *machine, ct *sandbox.Container, host *sandbox.Host) *life {
	return &life{m: m, ct: ct, host: host, started: time.Now(), gone: make(chan struct{}), heard: make(chan struct{}), active: map[string]bool{}, up: make(chan struct{})}
}

// watch passes on what the machine says, and notices its end.
func (l *life) watch() {
	name := l.m.spec.Name
	var last, readers sync.WaitGroup
	last.Go(func() { l.m.console.follow(l.ct.Console) })
	last.Go(func() { followErrors(l.m.d.sink, name, l.ct.Errors) })
	readers.Go(func() { followJournal(l.m.d.sink, name, l.started, l.host.Journal) })
	readers.Go(func() { l.followNotify() })
	go l.getReady()
	go func() {
		exit := l.ct.Wait()
		last.Wait() // they end with the machine: first its last words
		err := l.end()
		readers.Wait()
		l.m.ended(l, exit, err)
	}()
}

// end frees what the life holds, after its init has ended or before it began.
func (l *life) end() error {
	return errors.Join(l.ct.Destroy(), l.host.Close())
}

// ended notes the end of a life; a machine that asked to be started again is.
func (m *machine) ended(l *life, exit sandbox.Exit, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer close(l.gone)
	if err != nil {
		m.d.log(report.Warning, m.spec.Name, fmt.Sprintf("cleaning up: %v", err))
	}
	m.life = nil
	if !l.stopped {
		m.d.log(report.Info, m.spec.Name, "container "+exit.Text)
	}
	if !exit.Reboot || l.stopped {
		return
	}
	next, err := m.boot()
	if err != nil {
		m.d.log(report.Error, m.spec.Name, fmt.Sprintf("starting again after a reboot: %v", err))
		return
	}
	m.life = next
}

// stop kills the whole machine.
func (l *life) stop() {
	l.m.mu.Lock()
	l.stopped = true
	l.m.mu.Unlock()
	if err := l.m.leaf.Kill(); err != nil {
		l.m.d.log(report.Debug, l.m.spec.Name, err.Error())
	}
	_ = l.ct.Signal(9)
}

// ready waits until the machine's systemd answers. The first who asks does the
// waiting; the result holds for the life.
func (l *life) ready(ctx context.Context) error {
	l.once.Do(func() {
		go func() {
			defer close(l.up)
			l.readyErr = l.awaitReady()
		}()
	})
	select {
	case <-l.up:
		return l.readyErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// getReady lets the agent prepare for the first command as soon as systemd has
// booted, so that a script that asks one machine after the other need not wait
// for each.
func (l *life) getReady() {
	l.awaitTarget(context.Background(), "", bootDeadline)
	select {
	case <-l.gone:
	default:
		_ = l.ready(context.Background()) // the script will be told
	}
}

func (l *life) awaitReady() error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case <-l.gone:
			cancel(fmt.Errorf("machine %q went down while booting%s", l.m.spec.Name, l.m.console.tail()))
		case <-ctx.Done():
		}
	}()
	// The agent looks again and again: it need not before systemd has come as
	// far as its first target.
	l.awaitTarget(ctx, firstTarget, hearTime)
	err := l.ct.Agent.Ready(ctx, bootDeadline)
	var failed *agent.Failure
	switch {
	case errors.As(err, &failed) && failed.TimedOut:
		return fmt.Errorf("machine %q did not boot within %s: %w%s", l.m.spec.Name, bootDeadline, err, l.m.console.tail())
	case errors.Is(err, agent.ErrGone):
		<-l.gone // the machine is going down: say so rather than what broke first
		return fmt.Errorf("machine %q went down while booting%s", l.m.spec.Name, l.m.console.tail())
	case err != nil:
		return fmt.Errorf("waiting for machine %q to boot: %w", l.m.spec.Name, err)
	}
	return nil
}

// firstTarget is one of the first targets of every boot.
const firstTarget = "local-fs-pre.target"

// hearTime is how long to wait for it, in case that it is a systemd that does
// not announce targets.
const hearTime = 300 * time.Millisecond

// isReady reports whether ready has succeeded.
func (l *life) isReady() bool {
	select {
	case <-l.up:
		return l.readyErr == nil
	default:
		return false
	}
}

// stopping reports whether the machine is on its way down.
func (l *life) stopping(ctx context.Context) bool {
	var state bytes.Buffer
	_, err := l.ct.Agent.Exec(ctx, "systemctl is-system-running || true", stateTime, &state)
	return errors.Is(err, agent.ErrGone) || strings.TrimSpace(state.String()) == "stopping"
}

// stateTime bounds the question for the state of a system.
const stateTime = 10 * time.Second

// followNotify drains the notify socket for as long as the machine lives: a
// full one would stop its systemd.
func (l *life) followNotify() {
	buf := make([]byte, 4096)
	for {
		n, err := l.host.Notify.Read(buf)
		if err != nil {
			return
		}
		l.heardFrom(notifyFields(buf[:n]))
	}
}

// heardFrom takes what systemd said: that it has booted, or that a target is
// active (systemd(1), "X_SYSTEMD_UNIT_ACTIVE").
func (l *life) heardFrom(fields map[string]string) {
	l.news.Lock()
	defer l.news.Unlock()
	if fields["READY"] == "1" && !l.booted {
		l.booted = true
		l.m.d.log(report.Debug, l.m.spec.Name, fmt.Sprintf("systemd finished booting after %.2f seconds", time.Since(l.started).Seconds()))
	}
	if unit := fields["X_SYSTEMD_UNIT_ACTIVE"]; unit != "" {
		l.active[unit] = true
	}
	close(l.heard)
	l.heard = make(chan struct{})
}

// heardOf reports whether systemd has said that target is active, or, whatever
// the target, that it has booted, and returns a channel that is closed when it says more.
func (l *life) heardOf(target string) (bool, <-chan struct{}) {
	l.news.Lock()
	defer l.news.Unlock()
	return l.booted || l.active[target], l.heard
}

// announceTime is how long to rely on systemd to announce a target by itself.
const announceTime = time.Second

// awaitTarget waits, for a while, until systemd announces the target or the end
// of its boot. To ask for it meanwhile costs systemd more than it seems, see
// the agent's unitWatcher.
func (l *life) awaitTarget(ctx context.Context, target string, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	for {
		heard, more := l.heardOf(target)
		if heard {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			return
		case <-l.gone:
			return
		case <-ctx.Done():
			return
		}
	}
}
