# Waiting for what happens in a machine, and being told why it does not.
{ test, ... }:
{
  waiting = test {
    name = "waiting";
    globalTimeout = 120;
    containers.a.services = [ "slow" ];
    containers.b = { };
    testScript = ''
      import datetime
      import time
      from test_driver.errors import RequestedAssertionFailed

      a.start()

      class Within:
          """Holds what is in it to be done between two times, in seconds."""

          def __init__(self, least, most):
              self.least, self.most = least, most

          def __enter__(self):
              self.began = time.monotonic()

          def __exit__(self, kind, error, trace):
              took = time.monotonic() - self.began
              t.assertTrue(self.least <= took <= self.most, f"took {took:.2f} s")

      def later(command):
          a.succeed(f"systemd-run --quiet sh -c 'sleep 0.4; {command}'")

      with subtest("units"):
          a.wait_for_unit("multi-user.target")
          a.wait_for_unit("slow")  # without its suffix
          a.succeed("systemctl start --no-block slow-notify")
          a.wait_for_unit("slow-notify.service", timeout=datetime.timedelta(minutes=1))
          t.assertEqual(a.get_unit_property("slow-notify", "ActiveState"), "active")
          t.assertEqual(a.get_unit_info("slow-notify")["Type"], "notify")
          a.require_unit_state("slow-notify")
          with t.assertRaisesRegex(RequestedAssertionFailed, "in state 'active'"):
              a.require_unit_state("slow-notify", "inactive")
          a.stop_job("slow-notify")
          a.require_unit_state("slow-notify", "inactive")
          a.start_job("idle")
          a.wait_for_unit("idle.service")
          t.assertEqual(a.systemctl("is-active idle"), (0, "active\n"))

      with subtest("a failed unit ends the wait"):
          a.systemctl("start broken")
          with Within(0, 5), t.assertRaisesRegex(RequestedAssertionFailed, 'unit "broken" reached state "failed"'):
              a.wait_for_unit("broken")

      with subtest("so does one that fails during it"):
          a.succeed("systemctl reset-failed broken")
          a.succeed("systemd-run --quiet --unit fails-late -p Type=oneshot --no-block sh -c 'sleep 0.5; exit 1'")
          with Within(0.2, 5), t.assertRaisesRegex(RequestedAssertionFailed, 'unit "fails-late.service" reached state "failed"'):
              a.wait_for_unit("fails-late.service")

      with subtest("an inactive unit that nothing starts ends it"):
          for unit in ("listener", "no-such-unit.service"):
              with Within(0, 5), t.assertRaisesRegex(
                  RequestedAssertionFailed, f'unit "{unit}" is inactive and there are no pending jobs'
              ):
                  a.wait_for_unit(unit)

      with subtest("units of a user"):
          a.succeed("systemctl start user@1000.service")
          a.wait_for_unit("default.target", "alice")
          with t.assertRaisesRegex(RequestedAssertionFailed, "inactive"):
              a.wait_for_unit("no-such-unit.service", "alice")
          t.assertEqual(a.systemctl("is-active default.target", "alice"), (0, "active\n"))

      with subtest("files"):
          later("mkdir -p /run/deep/er; echo x >/run/deep/er/file")
          with Within(0.1, 10):
              a.wait_for_file("/run/deep/er/file")
          a.wait_for_file("/run/d*p/er/file")
          with Within(0.4, 5), t.assertRaisesRegex(RequestedAssertionFailed, r"timed out after .*/run/missing"):
              a.wait_for_file("/run/missing", timeout=0.5)

      with subtest("ports"):
          with t.assertRaisesRegex(RequestedAssertionFailed, "timed out.*refused"):
              a.wait_for_open_port(8080, timeout=0.3)
          later("systemctl start listener")
          with Within(0.1, 10):
              a.wait_for_open_port(8080)
          b.wait_for_open_port(8080, "a")
          later("systemctl stop listener")
          with Within(0.1, 10):
              a.wait_for_closed_port(8080)
          b.wait_for_closed_port(8080, addr="a")

      with subtest("unix sockets"):
          later("exec socat UNIX-LISTEN:/run/stream,fork PIPE")
          a.wait_for_open_unix_socket("/run/stream")
          later("exec socat UNIX-RECV:/run/datagrams -")
          a.wait_for_open_unix_socket("/run/datagrams", is_datagram=True)
          with t.assertRaises(RequestedAssertionFailed):
              a.wait_for_open_unix_socket("/run/missing", timeout=0.2)

      with subtest("commands"):
          later("echo done >/run/later")
          with Within(0.1, 10):
              t.assertEqual(a.wait_until_succeeds("cat /run/later"), "done\n")
          later("rm /run/later")
          a.wait_until_fails("test -e /run/later")
          with Within(0.4, 5), t.assertRaisesRegex(RequestedAssertionFailed, "timed out after.*exit status 5"):
              a.wait_until_succeeds("exit 5", timeout=0.5)
          with t.assertRaises(TypeError):
              a.wait_until_succeeds("true", timeout=True)
          # One that hangs does not outlast the wait.
          with Within(0.4, 5), t.assertRaises(RequestedAssertionFailed):
              a.wait_until_succeeds("sleep 100", timeout=0.5)

      with subtest("retry"):
          turns = []
          retry(lambda last: turns.append(last) or len(turns) == 4)
          t.assertEqual(turns, [False] * 4)
          turns.clear()
          with Within(0.2, 5), t.assertRaisesRegex(RequestedAssertionFailed, "timed out"):
              retry(lambda last: turns.append(last), timeout=0.3)
          t.assertEqual((turns[0], turns[-1]), (False, True))

      with subtest("polling conditions"):
          @polling_condition(seconds_interval=0.1, description="the file is there")
          def file_there():
              a.succeed("test -e /run/condition")

          a.succeed("touch /run/condition")
          with file_there:
              a.succeed("true")
              a.succeed("rm /run/condition")
              with Within(0, 5), t.assertRaises(Exception) as caught:
                  a.wait_for_file("/run/missing", timeout=30)
          t.assertIn("file is there", str(caught.exception))

      with subtest("t and errors"):
          with t.assertRaises(RequestedAssertionFailed):
              t.assertIn("x", "abc")
          with t.assertRaises(AssertionError):
              t.fail("on purpose")
          log.info("an info")
          log.warning("a warning")
          a.log("of a machine")
          with a.nested("a step of a machine"):
              pass
          print("printed by the script")

      try:
          with subtest("a part that fails"):
              raise KeyError("lost")
      except KeyError:
          pass
    '';
  };
}
