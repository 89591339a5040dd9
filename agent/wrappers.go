package agent

import (
	"context"
	"os"
	"path/filepath"
)

// wrapperDir is where NixOS makes its setuid wrappers. A new set of them is
// put in place by renaming the link "bin" to it.
const wrapperDir = "/run/wrappers"

// wrapperMode is what NixOS gives a wrapper, but for the setuid bit.
const wrapperMode = 0o511

// mendWrappers gives wrappers their mode where the sandbox refuses setuid
// bits. NixOS makes each with mode 0 and sets bits and permissions in one
// chmod, which then did nothing (see package stage), and not even root may
// execute a file without any x bit.
func mendWrappers(ctx context.Context) {
	link := filepath.Join(wrapperDir, "bin")
	events, stop := watchFile(ctx, link)
	defer stop()
	mended := ""
	for {
		if target, err := os.Readlink(link); err == nil && target != mended {
			mendDir(link)
			mended = target
		}
		select {
		case <-events:
		case <-ctx.Done():
			return
		}
	}
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
