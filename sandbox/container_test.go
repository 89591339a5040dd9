package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	_ "github.com/opencontainers/runc/libcontainer/nsenter" // must see the start of "init"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/agent/stage"
	"github.com/nestbox/nestbox/spec"
)

// init makes this binary what a container executes, as main of the program.
func init() {
	if stage.IsAgent() {
		f, err := stage.Listener()
		if err == nil {
			err = agent.Main(f, stage.IgnoresSetID())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		libcontainer.Init()
	}
}

// container makes a container of this system's /usr whose init is a shell that
// runs script. It is for use in a private mount namespace.
func container(t *testing.T, dir, script string, mounts ...spec.Mount) *Container {
	t.Helper()
	check(t, "cgroup2", unix.Mount("cgroup2", CgroupMount, "cgroup2", 0, ""))
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		check(t, "filling", os.MkdirAll(dir+"/root/usr", 0o755))
		check(t, "filling", os.Symlink("usr/"+name, dir+"/root/"+name))
	}
	m := &spec.Machine{
		Name: "web", Kind: spec.KindContainer, Init: "/bin/sh", Cmdline: []string{"-c", script},
		Env:    map[string]string{"GREETING": "hello"},
		Mounts: append([]spec.Mount{{Source: "/usr", Target: "/usr", Type: spec.MountBind, ReadOnly: true}}, mounts...),
	}
	l := Layout{
		Root: dir + "/root", HostDir: dir + "/host", SharedDir: dir + "/shared",
		CgroupPath: fmt.Sprintf("/nestbox-sandbox-test-%d", os.Getpid()),
	}
	t.Cleanup(func() { _ = os.Remove(CgroupMount + l.CgroupPath) })
	check(t, "filling", os.Mkdir(dir+"/run", 0o755))
	r, err := NewRuntime(dir + "/run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, "closing the runtime", r.Close()) })
	c, err := r.Create("m1", m, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, "Destroy", c.Destroy()) })
	return c
}

func TestContainer(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	for _, name := range []string{"/ro", "/rw"} {
		check(t, "filling", os.MkdirAll(dir+name+"/below", 0o755))
		check(t, "filling", unix.Mount("tmpfs", dir+name+"/below", "tmpfs", 0, ""))
	}
	c := container(t, dir, `
		trap 'exit 7' USR1
		echo "init is $$, user $(id -u), on $(tty | cut -c1-8), $GREETING from $container"
		for f in /mnt/ro/file /mnt/ro/below/file /mnt/rw/file /mnt/rw/below/file /usr/file /sys/kernel/file /run/host/file /tmp/shared/file; do
			(echo text > $f) 2>/dev/null && echo "wrote $f"
		done
		echo end
		while :; do sleep 0.1; done`,
		spec.Mount{Source: dir + "/ro", Target: "/mnt/ro", Type: spec.MountBind, ReadOnly: true},
		spec.Mount{Source: dir + "/rw", Target: "/mnt/rw", Type: spec.MountBind},
	)
	check(t, "Boot", c.Boot())
	var said bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(said.String(), "end\r\n") {
		n, err := c.Console.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Fatalf("the console ended with %v after %s", err, said.String())
		}
	}
	want := "init is 1, user 0, on /dev/pts, hello from systemd-nspawn\r\n" +
		"wrote /mnt/rw/file\r\nwrote /mnt/rw/below/file\r\nwrote /tmp/shared/file\r\nend\r\n"
	if said.String() != want {
		t.Errorf("on the console: %q, want %q", said.String(), want)
	}
	if got := content(t, dir+"/shared/file"); got != "text\n" {
		t.Errorf("the shared directory holds %q", got)
	}
	askAgent(t, c)

	if ns, err := c.NetNS(); err != nil {
		t.Error(err)
	} else {
		ns.Close()
	}
	pid := c.Pid()
	check(t, "Signal", c.Signal(unix.SIGUSR1))
	if exit := c.Wait(); exit.Reboot || exit.Text != "init exited with status 7" {
		t.Errorf("Wait = %+v", exit)
	}
	if lives(pid) {
		t.Error("init lives on")
	}
	check(t, "Signal after the end", c.Signal(unix.SIGKILL))
}

// askAgent runs a command inside, whose errors come by their own way.
func askAgent(t *testing.T, c *Container) {
	t.Helper()
	var out bytes.Buffer
	status, err := c.Agent.Exec(t.Context(), "uname -n; cat /etc/machine-id; ls /nix 2>&1 || ls /run; echo oops >&2; exit 3", 20*time.Second, &out)
	want := "web\n" + hexOnly(UUID("web")) + "\nls: cannot access '/nix': No such file or directory\nhost\n"
	if status != 3 || err != nil || out.String() != want {
		t.Errorf("Exec = %d, %v, output %q, want %q", status, err, out.String(), want)
	}
	buf := make([]byte, 100)
	if n, err := c.Errors.Read(buf); string(buf[:n]) != "oops\n" {
		t.Errorf("on standard error: %q, %v", buf[:n], err)
	}
}

// A container that is never booted, or whose init is missing, ends all the
// same.
func TestContainerWithoutBoot(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	c := container(t, dir, "echo never")
	check(t, "Signal", c.Signal(unix.SIGKILL))
	if exit := c.Wait(); exit.Text != "killed by SIGKILL" {
		t.Errorf("Wait = %+v", exit)
	}
	if out, _ := io.ReadAll(c.Console); len(out) > 0 {
		t.Errorf("on the console: %q", out)
	}
	check(t, "Destroy", c.Destroy())
	check(t, "second Destroy", c.Destroy())
	if _, err := os.Stat(fmt.Sprintf("%s/nestbox-sandbox-test-%d", CgroupMount, os.Getpid())); err == nil {
		t.Error("its cgroup is still there")
	}
}
