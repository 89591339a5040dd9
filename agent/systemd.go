package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

// Names of systemd's D-Bus interface, see org.freedesktop.systemd1(5).
const (
	systemdName      = "org.freedesktop.systemd1"
	systemdPath      = "/org/freedesktop/systemd1"
	managerInterface = "org.freedesktop.systemd1.Manager"
	unitInterface    = "org.freedesktop.systemd1.Unit"
	getProperty      = "org.freedesktop.DBus.Properties.Get"
)

// systemSocket is PID 1's own D-Bus socket: it is there from early boot on,
// before any message bus, and sends signals to whoever is connected.
const systemSocket = "/run/systemd/private"

// userSocket is the same of the user manager of uid.
func userSocket(uid int) string { return fmt.Sprintf("/run/user/%d/systemd/private", uid) }

// waitSystemd returns once PID 1 is systemd and answers.
func waitSystemd(ctx context.Context) error {
	// By looking, as a watch is an inotify instance: all machines start at the
	// same time, and a host may have just 128 for all of them.
	look := time.NewTicker(pollFirst)
	defer look.Stop()
	for {
		_, err := os.Stat(systemSocket)
		if err == nil {
			break
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for systemd: %w; last seen: %w", context.Cause(ctx), err)
		}
	}
	err := poll(ctx, func() (bool, string, error) {
		conn, err := dialSystemd(systemSocket)
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

// authTime bounds the first words with systemd, which may be busy with
// anything: then it is asked again.
const authTime = 2 * time.Second

// dialSystemd connects to a systemd manager's own socket.
func dialSystemd(socket string) (*dbus.Conn, error) {
	raw, err := net.DialTimeout("unix", socket, authTime)
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	_ = raw.SetDeadline(time.Now().Add(authTime))
	conn, err := dbus.NewConn(raw)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	// systemd takes its socket's peers from the kernel's word; the name given
	// must be our own uid.
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("authenticating to systemd: %w", err)
	}
	if err := firstWord(conn); err != nil {
		conn.Close()
		return nil, err
	}
	_ = raw.SetDeadline(time.Time{})
	return conn, nil
}

// firstWord returns when systemd answers its first call. sd-bus (systemd 262)
// forgets a message that it reads in one go with the end of the
// authentication, as a busy PID 1 does, until another one comes. So we knock
// until there is an answer.
func firstWord(conn *dbus.Conn) error {
	const most = 20
	answers := make(chan *dbus.Call, most)
	peer := conn.Object(systemdName, systemdPath)
	pause := pollFirst
	for range most {
		peer.Go("org.freedesktop.DBus.Peer.Ping", 0, answers)
		timer := time.NewTimer(pause)
		select {
		case call := <-answers:
			timer.Stop()
			if call.Err != nil {
				return fmt.Errorf("talking to systemd: %w", call.Err)
			}
			return nil
		case <-timer.C:
		}
		pause = min(2*pause, pollLast)
	}
	return errors.New("talking to systemd: it does not answer")
}
