package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/godbus/dbus/v5"
)

// Names of systemd's D-Bus interface, see org.freedesktop.systemd1(5).
const (
	systemdName      = "org.freedesktop.systemd1"
	systemdPath      = "/org/freedesktop/systemd1"
	managerInterface = "org.freedesktop.systemd1.Manager"
	unitInterface    = "org.freedesktop.systemd1.Unit"
	getProperty      = "org.freedesktop.DBus.Properties.GetAll"
)

// systemSocket is PID 1's own D-Bus socket: it is there from early boot on,
// before any message bus, and sends signals to whoever is connected.
const systemSocket = "/run/systemd/private"

// userSocket is the same of the user manager of uid.
func userSocket(uid int) string { return fmt.Sprintf("/run/user/%d/systemd/private", uid) }

// waitSystemd returns once PID 1 is systemd and answers.
func waitSystemd(ctx context.Context) error {
	err := poll(ctx, func() (bool, string, error) {
		conn, err := net.Dial("unix", systemSocket)
		if err != nil {
			return false, err.Error(), nil
		}
		conn.Close()
		return true, "", nil
	})
	if err != nil {
		return fmt.Errorf("waiting for systemd: %w", err)
	}
	return nil
}

// dialSystemd connects to a systemd manager's own socket.
func dialSystemd(socket string) (*dbus.Conn, error) {
	conn, err := dbus.Dial("unix:path=" + socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	// systemd takes its socket's peers from the kernel's word; the name given
	// must be our own uid.
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("authenticating to systemd: %w", err)
	}
	return conn, nil
}

// powerOff asks systemd for an orderly shutdown.
func powerOff() error {
	conn, err := dialSystemd(systemSocket)
	if err != nil {
		return err
	}
	defer conn.Close()
	call := conn.Object(systemdName, systemdPath).Call(managerInterface+".StartUnit", 0, "poweroff.target", "replace-irreversibly")
	if call.Err != nil && !errors.Is(call.Err, dbus.ErrClosed) {
		return fmt.Errorf("asking systemd to power off: %w", call.Err)
	}
	return nil
}
