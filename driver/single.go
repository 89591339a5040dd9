package driver

import (
	"context"
	"errors"

	"github.com/nestbox/nestbox/agent"
)

// RunMachine boots the only machine of opts.Test, calls use once its systemd
// answers, and powers the machine off when use returns. If the machine goes
// down first, use's context ends.
func RunMachine(ctx context.Context, opts Options, use func(context.Context, *agent.Client) error) (err error) {
	d := newDriver(opts)
	var undo undoStack
	defer func() {
		err = errors.Join(err, undo.run())
	}()
	if err := d.setUp(&undo); err != nil {
		return err
	}
	undo.add(d.releaseAll)
	m := d.ordered[0]
	l, err := m.connect(ctx)
	if err != nil {
		return err
	}
	using, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-l.gone:
			cancel(errDown)
		case <-using.Done():
		}
	}()
	if err := use(using, l.ct.Agent); err != nil && !errors.Is(err, errDown) {
		return err
	}
	return m.shutdown(ctx)
}
