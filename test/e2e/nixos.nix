# What NixOS's own init does and finds in a container, one by one.
{ test, ... }:
{
  nixos = test {
    name = "nixos";
    globalTimeout = 120;
    extraDriverArgs = [
      "--log-level"
      "debug"
    ];
    containers.a = { };
    containers.b = { };
    testScript = ''
      start_all()
      for machine in machines:
          machine.wait_for_unit("multi-user.target")
          t.assertEqual(machine.succeed("systemctl is-system-running --wait"), "running\n")

      def says(command, want, machine=a):
          t.assertEqual(machine.succeed(command).strip(), want, command)

      def namespaces(machine):
          return machine.succeed("cd /proc/1/ns; readlink cgroup ipc mnt net pid user uts").split()

      with subtest("activation"):
          a.fail("grep failed /run/log/stage-2-init.log")
          t.assertRegex(a.succeed("readlink /run/current-system"), r"^/nix/store/[a-z0-9]{32}-nixos-like-system-a\n$")
          says("readlink /run/booted-system", a.succeed("readlink /run/current-system").strip())
          says("readlink /var/run /var/lock", "/run\n/run/lock")
          says("readlink /etc/hosts; grep -o '^proc /proc ' /etc/mtab", "/etc/static/hosts\nproc /proc")
          says("stat -c '%a %U' /var/empty /root /tmp", "555 root\n700 root\n1777 root")
          says("cat /run/nixos-like/activated", "by tmpfiles")
          says("id -u alice; stat -c %U /home/alice", "1000\nalice")

      with subtest("ramfs on /run/keys"):
          says("stat -f -c %t /run/keys; stat -c %a:%g /run/keys", "858458f6\n750:96")
          a.succeed("echo key >/run/keys/key; chmod 400 /run/keys/key; chown alice /run/keys/key")

      with subtest("/nix/store is read-only"):
          t.assertIn("ro", a.succeed("findmnt -n -o OPTIONS /nix/store").strip().split(","))
          a.fail("touch /nix/store/new")
          t.assertIn("Read-only file system", a.succeed("touch /nix/store/new 2>&1 || true"))
          a.fail("mount -o remount,rw,bind /nix/store")
          a.fail("umount /nix/store")

      with subtest("wrappers"):
          says("findmnt -n -o FSTYPE /run/wrappers", "tmpfs")
          says("systemctl is-active suid-sgid-wrappers.service", "active")
          says("ls /run/wrappers/bin | xargs", "mount su umount")
          says("/run/wrappers/bin/su -l alice -c 'id -un'", "alice")
          a.succeed("mkdir /run/mounted; /run/wrappers/bin/mount -t tmpfs none /run/mounted; /run/wrappers/bin/umount /run/mounted")

      with subtest("chmod of setuid bits succeeds and does nothing else"):
          a.succeed("touch /root/program; chmod 4755 /root/program; chmod 2755 /root; chmod 700 /root")
          a.succeed("touch /root/other; chmod 640 /root/other")
          says("stat -c %a /root/other", "640")

      with subtest("/dev"):
          a.fail("test -e /dev/kmsg")
          says("ls /dev | grep -vx core | xargs", "console fd full log mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero")
          a.succeed("echo to null >/dev/null; head -c 5 /dev/zero /dev/urandom >/dev/null; [ -c /dev/console ]; tty </dev/console")
          a.fail("echo x >/dev/full")
          a.fail("mknod /root/null c 1 3")
          a.succeed("echo on the console >/dev/console")
          a.succeed("python3 -c 'import pty; pty.spawn([\"tty\"])' | grep /dev/pts/")

      with subtest("/proc and /sys"):
          a.succeed("exec {fd}>/run/by-fd; echo hello >/proc/self/fd/$fd; echo more >>/dev/fd/$fd; grep hello /run/by-fd")
          says("cat /proc/sys/net/ipv4/ip_forward; sysctl -n -w net.ipv4.ip_forward=1", "0\n1")
          says("stat -f -c %T /proc /sys /sys/fs/cgroup", "proc\nsysfs\ncgroup2fs")
          a.fail("touch /sys/new; echo 1 >/sys/kernel/mm/ksm/run")
          a.fail("test -w /proc/sysrq-trigger && echo x >/proc/sysrq-trigger")

      with subtest("machine-id is container_uuid"):
          uuid = a.succeed("tr '\\0' '\\n' </proc/1/environ | sed -n s/^container_uuid=//p").strip()
          says("cat /etc/machine-id", uuid.replace("-", ""))
          t.assertNotEqual(a.succeed("cat /etc/machine-id"), b.succeed("cat /etc/machine-id"))

      with subtest("the container interface"):
          says("systemd-detect-virt --container", "systemd-nspawn")
          says("cat /run/systemd/container", "systemd-nspawn")
          t.assertIn("NOTIFY_SOCKET=/run/host/notify", a.succeed("tr '\\0' '\\n' </proc/1/environ"))
          a.succeed("for i in $(seq 200); do systemd-notify --status=$i || true; done")
          a.succeed("test -d /run/host")
          for path in ("/run/host", "/run/host/credentials"):
              a.fail(f"touch {path}/new")
          a.fail("mount -o remount,rw,bind /run/host")
          a.fail("rm /run/host/notify")
          says("hostname; cat /proc/sys/kernel/hostname", "a\na")

      with subtest("nothing of the driver's leaks in"):
          t.assertNotIn("NESTBOX", a.succeed("tr '\\0' '\\n' </proc/1/environ").upper())
          t.assertNotIn("LIBCONTAINER", a.succeed("tr '\\0' '\\n' </proc/1/environ"))
          a.fail("ls -l /proc/1/fd | grep -iE 'nestbox|memfd|/build'")
          a.fail("test -e /build")
          says("tr '\\0' '\\n' </proc/1/cmdline | head -1 | xargs basename", "systemd")

      with subtest("namespaces of its own, a user namespace too"):
          mine = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")]
          for one, other, script in zip(namespaces(a), namespaces(b), mine):
              t.assertEqual(len({one, other, script}), 3, (one, other, script))
          says("cat /proc/1/uid_map | xargs; cat /proc/1/gid_map | xargs", "0 0 65536\n0 0 65536")
          says("tr -d '\\t' </proc/1/status | grep ^CapEff", "CapEff:" + a.succeed("grep CapBnd /proc/self/status").split()[1])

      with subtest("a cgroup of its own"):
          says("grep ^0: /proc/1/cgroup", "0::/init.scope")
          t.assertNotIn("..", a.succeed("cat /proc/[0-9]*/cgroup | sort -u"))
          t.assertIn("system.slice", a.succeed("ls /sys/fs/cgroup"))
          a.succeed("mkdir /sys/fs/cgroup/e2e; rmdir /sys/fs/cgroup/e2e")
          # Nothing above it: the machine's systemd is at the root.
          a.fail("test -e /sys/fs/cgroup/m-a || test -e /sys/fs/cgroup/driver")
          t.assertTrue(os.path.isdir("/sys/fs/cgroup/m-a/payload/system.slice"))
          t.assertTrue(os.path.isdir("/sys/fs/cgroup/m-b/payload/system.slice"))

      with subtest("work of a root user"):
          a.succeed("unshare --user --map-root-user --mount --net true")
          a.succeed("ip netns add inner; ip netns exec inner ip link set lo up; ip netns delete inner")
          a.succeed("mkdir -p /run/m; mount -t tmpfs none /run/m; mount --bind /etc /run/m; umount /run/m; umount /run/m")
          a.succeed("mkdir -p /run/o/{l,u,w,m}; mount -t tmpfs none /run/o/u; mkdir /run/o/u/{u,w}")
          a.succeed("mount -t overlay -o userxattr,lowerdir=/run/o/l,upperdir=/run/o/u/u,workdir=/run/o/u/w o /run/o/m; umount /run/o/m /run/o/u")
          says("hostname other; hostname; hostname a", "other")
          says("runuser -u alice id -- -un", "alice")
          says("systemd-run --quiet --wait --pipe -p User=alice id -un", "alice")
          a.succeed("ip link add v0 type veth peer name v1; ip link delete v0")
    '';
  };
}
