# Machines as Nestbox's own objects, and what only they can say.
{
  guest,
  config,
  sandboxed,
  ...
}:
let
  data = guest.build.tree "e2e-data" {
    "secret" = "from a file\n";
    "folder/file" = "bound\n";
  } "";
  # Made in the build: the store's owner is none of the ids there, so that
  # nobody there can write to a copy of its directories.
  lower = "/build/lower";

  objects = config {
    globalTimeout = 120;
    containers = {
      plain.machine = { };
      full = {
        # Its guest configures no network: Nestbox does.
        vlans = [ ];
        cmdline = [ "systemd.setenv=FROM_CMDLINE=yes" ];
        machine = {
          interfaces = [
            {
              name = "net0";
              vlan = 1;
              addresses = [
                "192.168.1.77/24"
                "2001:db8:1::77/64"
              ];
            }
            {
              name = "net1";
              vlan = 1;
              mac = "02:00:00:00:00:99";
            }
          ];
          env.GREETING = "good day";
          env.container = "systemd-nspawn";
          credentials = {
            "e2e.text".text = "a text\nof two lines";
            "e2e.file".source = "${data}/secret";
          };
          mounts = [
            {
              source = "${data}/folder";
              target = "/mnt/folder";
              readOnly = true;
            }
            {
              source = "/build";
              target = "/mnt/build";
            }
            {
              type = "tmpfs";
              target = "/scratch";
              options = [
                "size=2m"
                "mode=0711"
                "noexec"
              ];
            }
          ];
          limits = {
            memory = "1GiB";
            cpus = 1.5;
            pids = 500;
          };
          writableStore = true;
        };
      };
      layered = {
        vlans = [ ];
        machine = {
          writableStore = true;
          root = {
            kind = "overlay";
            inherit lower;
          };
        };
      };
    };
    testScript = ''
      start_all()
      for machine in machines:
          machine.wait_for_unit("multi-user.target")

      with subtest("addresses set by Nestbox"):
          t.assertIn("192.168.1.77/24", full.succeed("ip -br -4 address show net0"))
          t.assertIn("2001:db8:1::77/64", full.succeed("ip -br -6 address show net0"))
          plain.succeed("ping -c 1 -W 5 192.168.1.77")
          plain.succeed("ping -c 1 -W 5 2001:db8:1::77")
          # Without addresses the machine is left to do it.
          t.assertEqual(full.succeed("cat /sys/class/net/net1/address"), "02:00:00:00:00:99\n")
          t.assertNotIn("192.168.", full.succeed("ip -br address show net1"))
          full.succeed("ip link set net1 up; ip address add 192.168.1.78/24 dev net1")
          plain.succeed("ping -c 1 -W 5 192.168.1.78")

      with subtest("env and cmdline"):
          environ = full.succeed("tr '\\0' '\\n' </proc/1/environ")
          t.assertIn("GREETING=good day\n", environ)
          t.assertNotIn("GREETING", plain.succeed("tr '\\0' '\\n' </proc/1/environ"))
          t.assertIn("systemd.setenv=FROM_CMDLINE=yes", full.succeed("tr '\\0' '\\n' </proc/1/cmdline"))
          t.assertIn("FROM_CMDLINE=yes", full.succeed("systemctl show-environment"))

      with subtest("credentials"):
          t.assertEqual(full.succeed("systemd-creds --system cat e2e.text"), "a text\nof two lines")
          unit = "systemd-run --quiet --wait --pipe -p LoadCredential={0} sh -c 'cat $CREDENTIALS_DIRECTORY/{0}'"
          t.assertEqual(full.succeed(unit.format("e2e.file")), "from a file\n")
          plain.fail("systemd-creds --system cat e2e.text")
          full.fail("su alice -c 'cat /run/host/credentials/e2e.text'")

      with subtest("mounts"):
          t.assertEqual(full.succeed("cat /mnt/folder/file"), "bound\n")
          full.fail("touch /mnt/folder/new")
          full.succeed("echo machine >/mnt/build/from-machine")
          with open("/build/from-machine") as file:
              t.assertEqual(file.read(), "machine\n")
          t.assertEqual(full.succeed("stat -f -c %T /scratch; stat -c %a /scratch"), "tmpfs\n711\n")
          full.fail("head -c 3000000 /dev/zero >/scratch/file")
          t.assertIn("noexec", full.succeed("findmnt -n -o OPTIONS /scratch"))

      with subtest("limits, with the controllers there are"):
          for controller, file, want in (
              ("memory", "memory.max", "1073741824"),
              ("cpu", "cpu.max", "150000 100000"),
              ("pids", "pids.max", "500"),
          ):
              with open("/sys/fs/cgroup/cgroup.controllers") as there:
                  if controller not in there.read().split():
                      log.info(f"limits: no controller {controller} here")
                      continue
              with open(f"/sys/fs/cgroup/m-full/{file}") as limit:
                  t.assertEqual(limit.read().strip(), want)

      with subtest("a writable store, inside"):
          plain.fail("mount -o remount,rw,bind /nix/store")
          full.fail("touch /nix/store/new")
          # The system itself makes it read-only at boot, and its nix-daemon
          # does this:
          full.succeed("mount -o remount,rw,bind /nix/store")
          full.succeed("echo new >/nix/store/new")
          full.succeed("mkdir /nix/store/folder && touch /nix/store/folder/file && chmod -R a-w /nix/store/folder")
          # What the test brought stays as it is.
          own = full.succeed("readlink /run/current-system").strip()
          full.fail(f"touch {own}/init")
          full.fail(f"rm -r {own}")
          # Neither the build nor another machine sees any of it.
          t.assertFalse(os.path.exists("/nix/store/new"))
          plain.fail("test -e /nix/store/new")
          layered.fail("test -e /nix/store/new")

      with subtest("a root over a given tree"):
          t.assertEqual(layered.succeed("cat /etc/from-lower"), "lower\n")
          layered.succeed("echo changed >/kept/file; rm /etc/from-lower; sync")
          with open("${lower}/kept/file") as file:
              t.assertEqual(file.read(), "lower\n")
          layered.shutdown()
          layered.start()
          t.assertEqual(layered.succeed("cat /kept/file"), "changed\n")
          layered.fail("test -e /etc/from-lower")
          t.assertEqual(layered.succeed("systemctl is-system-running --wait"), "running\n")
    '';
  };
in
{
  object =
    sandboxed "object"
      {
        config = objects;
      }
      ''
        mkdir -p ${lower}/etc ${lower}/kept
        echo lower | tee ${lower}/etc/from-lower >${lower}/kept/file
        exec nixos-test-driver --config "$config/config.json" --log-level debug -o "$out"
      '';
}
