package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/spec"
)

// Host is what a machine finds in /run/host: credentials, and the sockets by
// which its systemd tells us how it is.
type Host struct {
	// Notify receives the datagrams of sd_notify(3).
	Notify *net.UnixConn
	// Journal accepts journald's connection (ForwardToSocket= of
	// journald.conf(5)), by which it sends every entry.
	Journal net.Listener
}

// forwardCredential makes journald forward, see systemd-journald.service(8).
const forwardCredential = "journal.forward_to_socket"

// OpenHost fills dir for machine m and opens the sockets in it.
func OpenHost(m *spec.Machine, dir string) (_ *Host, err error) {
	h := &Host{}
	defer func() {
		if err != nil {
			_ = h.Close()
			err = fmt.Errorf("preparing /run/host of machine %q: %w", m.Name, err)
		}
	}()
	if err := writeCredentials(m, filepath.Join(dir, credentialsName)); err != nil {
		return nil, err
	}
	notify, journal := filepath.Join(dir, notifyName), filepath.Join(dir, journalName)
	for _, path := range []string{notify, journal} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if h.Notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"}); err != nil {
		return nil, err
	}
	if h.Journal, err = net.Listen("unix", journal); err != nil {
		return nil, err
	}
	for _, path := range []string{notify, journal} {
		if err := os.Chmod(path, 0o666); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Close closes the sockets.
func (h *Host) Close() error {
	var errs []error
	if h.Notify != nil {
		errs = append(errs, h.Notify.Close())
	}
	if h.Journal != nil {
		errs = append(errs, h.Journal.Close())
	}
	err := errors.Join(errs...)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func writeCredentials(m *spec.Machine, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	all := map[string][]byte{forwardCredential: []byte("/run/host/" + journalName)}
	for name, c := range m.Credentials {
		if c.Source == "" {
			all[name] = []byte(c.Text)
			continue
		}
		data, err := os.ReadFile(c.Source)
		if err != nil {
			return fmt.Errorf("reading credential %q: %w", name, err)
		}
		all[name] = data
	}
	for name, data := range all {
		if strings.ContainsRune(name, '/') {
			return fmt.Errorf("credential %q: a name can't hold a slash", name)
		}
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(path, data, 0o400); err != nil {
			return err
		}
	}
	return nil
}

// PrepareRoot returns the directory that is to become the machine's root:
// state itself, the directory that m names, or an overlay of m's tree with
// the changes in state, mounted on mountpoint. release undoes it.
func PrepareRoot(m *spec.Machine, state, mountpoint string) (root string, release func() error, err error) {
	upper := state
	if m.Root.Path != "" {
		upper = m.Root.Path
	}
	if m.Root.Kind != spec.RootOverlay {
		return upper, func() error { return nil }, nil
	}
	for _, dir := range []string{mountpoint, filepath.Join(upper, "upper"), filepath.Join(upper, "work")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", nil, fmt.Errorf("preparing the root of machine %q: %w", m.Name, err)
		}
	}
	if err := unix.Mount("overlay", mountpoint, "overlay", 0, overlayOptions(m.Root.Lower, upper)); err != nil {
		return "", nil, fmt.Errorf("mounting the root of machine %q over %s: %w", m.Name, m.Root.Lower, err)
	}
	return mountpoint, func() error {
		if err := unix.Unmount(mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting the root of machine %q: %w", m.Name, err)
		}
		return nil
	}, nil
}
