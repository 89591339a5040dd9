# Machines that go down and come back.
{ test, ... }:
{
  lives = test {
    name = "lives";
    globalTimeout = 120;
    containers.a.units."farewell.service" = ''
      [Unit]
      Description=Notes an orderly shutdown

      [Service]
      Type=oneshot
      RemainAfterExit=yes
      ExecStart=/usr/bin/true
      ExecStop=/usr/bin/sh -c 'echo farewell >>/root/farewell'
    '';
    containers.b = { };
    testScript = ''
      def boot(machine):
          machine.wait_for_unit("multi-user.target")
          machine.fail("test -e /run/this-boot")  # a tmpfs: new with each boot
          machine.succeed("touch /run/this-boot")

      def farewells():
          return a.succeed("grep -c farewell /root/farewell || true").strip()

      t.assertFalse(a.is_up())
      start_all()
      boot(a)
      boot(b)
      t.assertTrue(a.is_up())
      a.succeed("echo kept >/root/kept; touch /root/farewell; sync")

      with subtest("rebooting from inside"):
          a.execute("systemctl reboot", check_return=False)
          a.connected = False
          boot(a)
          t.assertEqual(farewells(), "1")
          t.assertEqual(a.succeed("cat /root/kept"), "kept\n")
          a.succeed("ping -c 1 -W 5 b")
          b.succeed("ping -c 1 -W 5 a")

      with subtest("rebooting again"):
          a.execute("systemctl reboot", check_return=False)
          a.connected = False
          boot(a)
          t.assertEqual(farewells(), "2")

      with subtest("shutting down and starting again"):
          a.shutdown()
          t.assertFalse(a.is_up())
          b.fail("ping -c 1 -W 0.5 a")
          a.shutdown()  # as it is down, there is nothing to do
          a.start()
          boot(a)
          t.assertEqual(farewells(), "3")
          b.succeed("ping -c 1 -W 5 a")

      with subtest("powering off from inside"):
          a.execute("systemctl poweroff", check_return=False)
          a.wait_for_shutdown()
          t.assertFalse(a.is_up())
          t.assertTrue(b.is_up())

      with subtest("a command starts a machine that is down"):
          t.assertEqual(farewells(), "4")
          boot(a)

      with subtest("a crash"):
          a.crash()
          t.assertFalse(a.is_up())
          a.start()
          boot(a)
          t.assertEqual(farewells(), "4")

      with subtest("a command that takes the machine down"):
          with t.assertRaisesRegex(Exception, "went down|power"):
              b.succeed("systemctl poweroff --force --force; sleep 60")
          b.wait_for_shutdown()
          b.start()
          boot(b)

      with subtest("join_all"):
          for machine in machines:
              machine.execute("systemctl poweroff", check_return=False)
          join_all()
          t.assertEqual([machine.is_up() for machine in machines], [False, False])
    '';
  };

  # More machines than a test on two cores should have.
  many = test {
    name = "many";
    globalTimeout = 200;
    containers = builtins.listToAttrs (
      builtins.genList (i: {
        name = "m${builtins.substring 1 2 (toString (101 + i))}";
        value = { };
      }) 24
    );
    testScript = ''
      import time

      began = time.monotonic()
      start_all()
      t.assertEqual(len(machines), 24)
      for machine in machines:
          status, state = machine.execute("systemctl is-system-running --wait")
          failed = machine.succeed("systemctl --failed --no-legend --plain")
          t.assertEqual((machine.name, status, state, failed), (machine.name, 0, "running\n", ""))
      log.info(f"24 machines run after {time.monotonic() - began:.1f} s")
      for number, machine in enumerate(machines, 1):
          t.assertEqual(machine.succeed("hostname"), f"m{number:02}\n")
          machine.succeed(f"ping -c 1 -W 10 {machines[number % 24].name}")
      # None has taken another's cgroup away, or units of another.
      for machine in machines:
          machine.succeed("systemctl start slow.service && systemctl is-active slow.service dbus.socket")
          t.assertEqual(machine.succeed("systemctl --failed --no-legend --plain"), "")
    '';
  };

  # Two of these run at the same time, as builds of one daemon.
  beside =
    let
      make =
        name:
        test {
          name = "beside-${name}";
          globalTimeout = 120;
          containers.a.services = [ "listener" ];
          containers.b = { };
          testScript = ''
            import time

            began = time.time()
            start_all()
            a.wait_for_unit("multi-user.target")
            a.wait_for_open_port(8080)
            a.succeed("echo ${name} >/etc/whose; echo ${name} >/tmp/shared/whose")
            a.succeed("systemd-run socat TCP-LISTEN:9000,reuseaddr,fork OPEN:/etc/whose")
            a.wait_for_open_port(9000)
            # The other build has machines of the same names and addresses.
            while time.time() < began + 8:
                t.assertEqual(b.succeed("cat /tmp/shared/whose; nc -w 5 a 9000 </dev/null"), "${name}\n" * 2)
                b.succeed("ping -c 1 -W 5 a")
                time.sleep(0.1)
            print(f"began {began:.3f} ended {time.time():.3f}")
          '';
        };
    in
    {
      one = make "one";
      other = make "other";
    };
}
