package agent

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// wrapperDir is where NixOS makes its setuid wrappers. A new set of them is
// put in place by renaming the link "bin" to it.
const wrapperDir = "/run/wrappers"

// wrapperMode is what NixOS gives a wrapper, but for the setuid bit.
const wrapperMode = 0o511

// mender gives wrappers their mode where the sandbox refuses setuid bits.
// NixOS makes each with mode 0 and sets bits and permissions in one chmod,
// which then did nothing (see package stage), and not even root may execute a
// file without any x bit.
type mender struct {
	mu   sync.Mutex
	done string // what the link led to when it was mended
}

// mend looks for a new set of wrappers. It is cheap when there is none, so it
// is called before every command. (A watch would cost an inotify instance in
// every machine, of which a host may have just 128 for all of them.)
func (m *mender) mend() (found bool) {
	link := filepath.Join(wrapperDir, "bin")
	target, err := os.Readlink(link)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if target != m.done {
		mendDir(link)
		m.done = target
	}
	return true
}

// wrapperTime is how long after its start a machine may come up with its
// wrappers for services that use them before the first command is given.
const wrapperTime = time.Minute

// atBoot mends the machine's first set of wrappers.
func (m *mender) atBoot() {
	ctx, cancel := context.WithTimeout(context.Background(), wrapperTime)
	defer cancel()
	_ = poll(ctx, func() (bool, string, error) { return m.mend(), "", nil })
}

func mendDir(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm() == 0 {
			_ = os.Chmod(filepath.Join(dir, e.Name()), wrapperMode)
		}
	}
}
