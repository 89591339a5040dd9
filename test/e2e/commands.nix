# Commands in machines, their output, and copies to and from machines.
{ test, ... }:
{
  commands = test {
    name = "commands";
    globalTimeout = 120;
    containers.a = { };
    containers.b = { };
    testScript = ''
      import threading
      import time

      start_all()

      with subtest("bash with set -euo pipefail, in a login environment"):
          t.assertEqual(a.succeed("echo one", "echo two"), "one\ntwo\n")
          t.assertEqual(a.execute("echo out; exit 7"), (7, "out\n"))
          t.assertEqual(a.execute("kill -KILL $$")[0], 137)
          a.fail("false | true")
          a.fail("echo $undefined")
          a.fail("false; true")
          t.assertEqual(a.succeed("echo $USER $HOME $NIXOS_LIKE_PROFILE $PWD"), "root /root 1 /tmp\n")
          t.assertEqual(a.succeed("cat; readlink /proc/self/fd/0"), "/dev/null\n")
          a.succeed("[[ $PATH == /run/wrappers/bin:/run/current-system/sw/bin:* ]]")
          t.assertEqual(a.succeed("env | grep -ci nestbox || true"), "0\n")
          a.succeed("true; true # " + "x" * 300_000)
          a.succeed("text='" + "x\ny " * 10_000 + "'; [ ''${#text} = 40000 ]")

      with subtest("check_output and check_return"):
          t.assertEqual(a.execute("sleep 60; echo no", check_output=False), (-2, ""))
          t.assertEqual(a.execute("exit 3", check_return=False)[0], -1)

      with subtest("output of any content"):
          t.assertEqual(a.succeed(r"printf 'a\0b\r\n\303\244\377\376'"), "a\0b\r\nä\ufffd\ufffd")
          t.assertEqual(a.succeed("printf '{\"chunk\": 5}\\nhello'"), '{"chunk": 5}\nhello')

      with subtest("output of any size"):
          text = a.succeed("head -c 67108864 /dev/zero | tr '\\0' x")
          t.assertEqual((len(text), text.count("x")), (64 << 20, 64 << 20))
          del text
          t.assertEqual(len(a.succeed("seq 200000").split()), 200_000)

      with subtest("standard error goes to the log"):
          t.assertEqual(a.succeed("echo to standard error >&2; echo out"), "out\n")

      with subtest("output ends when all have closed it"):
          before = time.monotonic()
          t.assertEqual(a.succeed("(sleep 1; echo late) & echo early"), "early\nlate\n")
          t.assertGreater(time.monotonic() - before, 0.9)
          before = time.monotonic()
          a.succeed("sleep 300 >/dev/null 2>&1 & echo $! >/run/background")
          t.assertLess(time.monotonic() - before, 5)
          a.succeed("kill $(cat /run/background)")

      with subtest("a timeout ends the whole process group"):
          before = time.monotonic()
          # One that does not end when asked, one in the background, one in a
          # pipe.
          status, output = a.execute(
              "echo begun; (trap ''' TERM; sleep 301; sleep 301) & sleep 302 & sleep 303 | cat", timeout=1
          )
          t.assertEqual((status, output), (124, "begun\n"))
          t.assertLess(time.monotonic() - before, 10)
          a.wait_until_fails("pgrep -x -f 'sleep 30[1-3]'", timeout=5)
          with t.assertRaisesRegex(Exception, r"failed \(exit code 124\)"):
              a.succeed("sleep 304", timeout=0.2)
          t.assertEqual(a.succeed("echo on", timeout=60), "on\n")

      with subtest("many commands at once"):
          wrong = []

          def work(number):
              for turn in range(20):
                  machine = (a, b)[turn % 2]
                  text = f"{machine.name} {number} {turn} " + "x" * 1000 * turn
                  got = machine.succeed(f"echo '{text}'")
                  if got != text + "\n":
                      wrong.append((number, turn, got))

          threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
          for thread in threads:
              thread.start()
          # A long one does not hold up the others.
          slow = threading.Thread(target=a.succeed, args=("sleep 2",))
          slow.start()
          for thread in threads:
              thread.join(60)
              t.assertFalse(thread.is_alive())
          slow.join()
          t.assertEqual(wrong, [])
    '';
  };

  copies = test {
    name = "copies";
    globalTimeout = 60;
    containers.a = { };
    containers.b = { };
    testScript = ''
      import hashlib
      import pathlib

      start_all()

      a.succeed(
          "mkdir -p /root/tree/empty /root/tree/sub",
          r"printf 'a\0\377\n' >/root/tree/bytes; echo private >/root/tree/sub/private; chmod 640 /root/tree/sub/private",
          "echo '#!/bin/sh' >/root/tree/program; chmod 755 /root/tree/program",
          "ln -s sub/private /root/tree/link; ln -s /etc/hostname /root/tree/absolute",
          "ln -s tree /root/alias; ln -s tree/bytes /root/alias-of-file",
          "head -c 20000000 /dev/urandom >/root/large; touch /root/'with space'",
      )
      out = a.out_dir

      with subtest("copy_from_machine"):
          a.copy_from_machine("/root/tree/bytes")
          a.copy_from_machine("/root/tree", "whole")
          a.copy_from_machine("/root/alias", "linked")
          a.copy_from_machine("/root/alias-of-file", "linked")
          a.copy_from_machine("/root/large", "deep/er")
          a.copy_from_machine("/root/with space")
          a.copy_from_vm("/etc/hostname", "old-name")
          t.assertEqual((out / "bytes").read_bytes(), b"a\0\xff\n")
          t.assertEqual((out / "whole/tree/sub/private").stat().st_mode & 0o777, 0o640)
          t.assertEqual((out / "whole/tree/program").stat().st_mode & 0o777, 0o755)
          t.assertTrue((out / "whole/tree/empty").is_dir())
          t.assertEqual(os.readlink(out / "whole/tree/link"), "sub/private")
          t.assertEqual(os.readlink(out / "whole/tree/absolute"), "/etc/hostname")
          sum = a.succeed("sha256sum </root/large").split()[0]
          t.assertEqual(hashlib.sha256((out / "deep/er/large").read_bytes()).hexdigest(), sum)

      with subtest("copy_from_machine refuses"):
          for source, target in (("/root/missing", ""), ("/root/tree/bytes", "../elsewhere"), ("/", "")):
              with t.assertRaises(Exception):
                  a.copy_from_machine(source, target)
          t.assertFalse((out.parent / "elsewhere").exists())

      with subtest("copy_from_host, and back"):
          here = pathlib.Path(os.environ["TMPDIR"]) / "tree"
          (here / "sub").mkdir(parents=True)
          (here / "sub/data").write_bytes(bytes(range(256)) * 1000)
          (here / "program").write_text("#!/bin/sh\necho ran\n")
          (here / "program").chmod(0o750)
          os.symlink("sub/data", here / "link")
          os.symlink(here / "program", here.parent / "to-program")
          b.copy_from_host(here, "/root/tree")
          b.copy_from_host(str(here / "program"), "/root/new/folder/program")
          b.copy_from_host(here.parent / "to-program", "/root/followed")
          t.assertEqual(b.succeed("/root/tree/program; /root/new/folder/program; /root/followed"), "ran\n" * 3)
          t.assertEqual(b.succeed("stat -c '%a %u %g' /root/tree/program"), "750 0 0\n")
          t.assertEqual(b.succeed("readlink /root/tree/link; stat -c %F /root/followed"), "sub/data\nregular file\n")
          b.copy_from_machine("/root/tree", "back")
          t.assertEqual((out / "back/tree/sub/data").read_bytes(), (here / "sub/data").read_bytes())
          b.copy_from_host_via_shell(here / "sub/data", "/root/by-shell")
          t.assertEqual(b.succeed("sha256sum </root/by-shell"), b.succeed("sha256sum </root/tree/sub/data"))
          # The other sense in which a host has files: the store.
          b.copy_from_host(os.path.realpath("/usr/bin/busybox"), "/root/busybox")
          b.succeed("/root/busybox true")

      with subtest("the shared directory"):
          a.succeed("echo from a >/tmp/shared/letter")
          t.assertEqual(b.succeed("cat /tmp/shared/letter"), "from a\n")
          t.assertEqual((a.shared_dir / "letter").read_text(), "from a\n")
          (a.shared_dir / "answer").write_text("from the script\n")
          t.assertEqual(a.succeed("cat /tmp/shared/answer"), "from the script\n")
    '';
  };
}
