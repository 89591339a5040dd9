package agent

import (
	"bytes"
	"context"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watchName tells, through the channel, that an entry of that name appeared in
// dir. Where dir can't be watched the channel stays silent.
func watchName(ctx context.Context, dir, name string) (<-chan struct{}, func()) {
	events := make(chan struct{}, 1)
	fd, file, stop := openInotify(ctx)
	if file == nil {
		return events, stop
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		stop()
		return events, func() {}
	}
	go func() {
		buf := make([]byte, 16<<10)
		for {
			n, err := file.Read(buf)
			if err != nil {
				return
			}
			if hasName(buf[:n], name) {
				notify(events)
			}
		}
	}()
	return events, stop
}

// hasName reports whether one of the events in buf, as inotify(7) lays them
// out, names an entry of that name, or says that events were lost.
func hasName(buf []byte, name string) bool {
	for len(buf) >= unix.SizeofInotifyEvent {
		event := (*unix.InotifyEvent)(unsafe.Pointer(&buf[0]))
		end := unix.SizeofInotifyEvent + int(event.Len)
		if end > len(buf) {
			return false
		}
		entry := bytes.TrimRight(buf[unix.SizeofInotifyEvent:end], "\x00")
		if string(entry) == name || event.Mask&unix.IN_Q_OVERFLOW != 0 {
			return true
		}
		buf = buf[end:]
	}
	return false
}
