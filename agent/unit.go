package agent

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// inactiveGrace is how long a unit may be inactive while systemd has no job
// at all, before waiting for it is given up: the moment between two jobs
// (one done, the next not queued yet) looks just like that.
const inactiveGrace = time.Second

// recheck bounds how long a lost signal can delay a wait.
const recheck = 500 * time.Millisecond

// errUnit is a unit's verdict, as opposed to trouble with the connection.
var errUnit = errors.New("unit")

// unitWatcher waits for units.
//
// Once a unit is on its way, systemd's signals tell of each step. Before that
// we stay away from systemd where we can: to whoever is connected it sends a
// signal for every change of every unit, which at boot is a tenth of all its
// work. When a service is started it gets an invocation id, a file of that name
// appears, and only then is it worth another look. (Other units have no such
// file, as a rule; for targets see the driver.)
type unitWatcher struct{}

// invocationDir is where systemd tells journald of units' invocations: a link
// "invocation:UNIT" appears when a unit is started.
const invocationDir = "/run/systemd/units"

// wait returns nil once the unit is active, an error if it failed or is
// inactive with nothing on its way, or ctx's cause with what was last seen.
func (w *unitWatcher) wait(ctx context.Context, unit, user string) error {
	name, err := unitName(unit)
	if err != nil {
		return err
	}
	t := &target{name: name, shown: unit, user: user}
	started, stop := watchName(ctx, invocationDir, "invocation:"+name)
	defer stop()
	pause := pollFirst
	for {
		pending, err := t.look(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w; last seen: %s", context.Cause(ctx), t.seen)
		case errors.Is(err, errUnit):
			return err
		case err != nil: // no connection: early in boot, or daemon-reexec
			t.seen = err.Error()
			pause = min(2*pause, pollLast)
		case !pending:
			return nil
		case user != "": // whose manager has its invocations elsewhere
			pause = min(2*pause, pollLast)
		default:
			pause = recheck
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-started:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// unitError is a final state of a unit that is waited for.
type unitError struct{ msg string }

func (e unitError) Error() string { return e.msg }
func (unitError) Unwrap() error   { return errUnit }

// target is a unit that is waited for.
type target struct {
	name, shown, user string

	seen          string    // its state when it was last looked at
	inactiveSince time.Time // while nothing is on its way; else zero
}

// look follows the unit for as long as it is on its way from one state to
// another. It reports whether there is reason to look again later.
func (t *target) look(ctx context.Context) (pending bool, err error) {
	socket := systemSocket
	if t.user != "" {
		uid, err := userID(ctx, t.user)
		if err != nil {
			return false, unitError{err.Error()}
		}
		socket = userSocket(uid)
	}
	conn, err := dialSystemd(socket)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 256)
	conn.Signal(signals)
	manager := conn.Object(systemdName, systemdPath)
	var unit dbus.ObjectPath
	if err := manager.CallWithContext(ctx, managerInterface+".LoadUnit", 0, t.name).Store(&unit); err != nil {
		return false, fmt.Errorf("loading unit %q: %w", t.name, noCtx(ctx, err))
	}
	for {
		state, err := property(ctx, conn, unit, "ActiveState")
		if err != nil {
			return false, err
		}
		t.seen = fmt.Sprintf("unit %q is %s", t.shown, state)
		if state != "inactive" {
			t.inactiveSince = time.Time{}
		}
		switch state {
		case "active":
			return false, nil
		case "failed":
			return false, unitError{fmt.Sprintf("unit %q reached state %q", t.shown, state)}
		case "inactive":
			err := t.inactive(ctx, conn, manager, unit)
			if err != nil || t.announced() {
				return true, err
			}
		}
		if err := nextSignal(ctx, signals, t.name, unit, recheck); err != nil {
			return false, err
		}
	}
}

// announced reports whether a file will tell that the unit is started.
func (t *target) announced() bool { return t.user == "" && strings.HasSuffix(t.name, ".service") }

// inactive gives the verdict on an inactive unit: an error once systemd has
// had no job at all for a while.
func (t *target) inactive(ctx context.Context, conn *dbus.Conn, manager dbus.BusObject, unit dbus.ObjectPath) error {
	idle, err := noJobs(ctx, manager)
	switch {
	case err != nil:
		return err
	case !idle:
		t.inactiveSince = time.Time{}
	case t.inactiveSince.IsZero():
		t.inactiveSince = time.Now()
	case time.Since(t.inactiveSince) >= inactiveGrace:
		msg := fmt.Sprintf("unit %q is inactive and there are no pending jobs", t.shown)
		if load, _ := property(ctx, conn, unit, "LoadState"); load == "not-found" {
			msg += " (systemd finds no such unit)"
		}
		return unitError{msg}
	}
	return nil
}

// nextSignal waits for a signal about the unit, at most for d.
func nextSignal(ctx context.Context, signals <-chan *dbus.Signal, name string, unit dbus.ObjectPath, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return nil
		case s, open := <-signals:
			if !open {
				return errors.New("systemd closed the connection")
			}
			if s.Path == unit || isJobOf(s, name) {
				return nil
			}
		}
	}
}

// isJobOf reports whether s says that a job of the unit has ended: its
// arguments are the job's number and path, then the unit's name.
func isJobOf(s *dbus.Signal, name string) bool {
	return s.Name == managerInterface+".JobRemoved" && len(s.Body) > 2 && s.Body[2] == name
}

// property reads a text property of a unit.
func property(ctx context.Context, conn *dbus.Conn, unit dbus.ObjectPath, name string) (string, error) {
	var value dbus.Variant
	err := conn.Object(systemdName, unit).CallWithContext(ctx, getProperty, 0, unitInterface, name).Store(&value)
	if err != nil {
		return "", fmt.Errorf("reading the unit's %s: %w", name, noCtx(ctx, err))
	}
	text, _ := value.Value().(string)
	return text, nil
}

func noJobs(ctx context.Context, manager dbus.BusObject) (bool, error) {
	call := manager.CallWithContext(ctx, managerInterface+".ListJobs", 0)
	if call.Err != nil {
		return false, fmt.Errorf("listing systemd's jobs: %w", noCtx(ctx, call.Err))
	}
	var jobs [][]any
	if err := call.Store(&jobs); err != nil {
		return false, fmt.Errorf("listing systemd's jobs: %w", err)
	}
	return len(jobs) == 0, nil
}

// noCtx prefers ctx's cause to the bare "context canceled" of a library.
func noCtx(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// unitSuffixes are the unit types of systemd.unit(5).
//
//nolint:gochecknoglobals // a table that nobody writes to
var unitSuffixes = []string{
	".service", ".socket", ".target", ".mount", ".automount", ".timer", ".path",
	".device", ".swap", ".slice", ".scope",
}

// unitName completes a name as systemctl(1) does: a name without suffix is a
// service, a path a mount or a device.
func unitName(name string) (string, error) {
	if name == "" {
		return "", errors.New("no unit name given")
	}
	for _, suffix := range unitSuffixes {
		if strings.HasSuffix(name, suffix) && len(name) > len(suffix) {
			return name, nil
		}
	}
	if strings.HasPrefix(name, "/dev/") || strings.HasPrefix(name, "/sys/") {
		return escapePath(name) + ".device", nil
	}
	if strings.HasPrefix(name, "/") {
		return escapePath(name) + ".mount", nil
	}
	return name + ".service", nil
}

// escapePath is systemd-escape --path, see systemd.unit(5), "String Escaping
// for Inclusion in Unit Names".
func escapePath(path string) string {
	path = strings.Trim(filepath.Clean(path), "/")
	if path == "" {
		return "-"
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ':', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

// userID looks a user up as the machine's own name service does.
func userID(ctx context.Context, user string) (int, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `PATH=/run/current-system/sw/bin:/usr/bin:/bin; exec id -u -- "$0"`, user)
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("looking up user %q in the machine: %w", user, err)
	}
	uid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return 0, fmt.Errorf("looking up user %q in the machine: %w", user, err)
	}
	return uid, nil
}
