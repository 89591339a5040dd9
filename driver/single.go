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
	err = use(using, l.ct.Agent)
	if errors.Is(err, errDown) || errors.Is(err, agent.ErrGone) {
		return m.waitDown(ctx) // powered off from within, which is as good
	}
	return errors.Join(err, m.shutdown(ctx))
}
