# Scripts that fail, and what of them is told.
{ guest, test, cases, ... }:
{
  # A failing script is a failing build.
  fails = test {
    name = "fails";
    containers.a = { };
    testScript = ''
      import test_driver.errors

      def check(machine):
          machine.succeed("echo seen; exit 3")

      with subtest("part that fails"):
          for machine in machines:
              check(
                  machine)
      print("never reached")
    '';
  };

  verdicts = cases "verdicts" {
    passes.testScript = ''
      print("nothing to do")
    '';
    # The machine was set up ahead, in vain; the start has to tell why.
    noRoot.containers.a.machine.root = {
      kind = "overlay";
      lower = "/nix/store";
      path = "/proc/1";
    };
    noRoot.testScript = ''
      import time

      time.sleep(0.5)
      a.start()
    '';
    exception.testScript = ''
      numbers = {}

      def look_up(name):
          return numbers[name]

      try:
          look_up("one")
      except KeyError as e:
          raise ValueError("no such number") from e
    '';
    syntax.testScript = ''
      print("never reached")
      if True
          pass
    '';
    assertion.testScript = ''
      import re  # a library's frames are not shown

      t.assertEqual(1 + 1, 3, "sums")
    '';
    library.testScript = ''
      import re

      re.compile("(")
    '';
    exits.testScript = ''
      import sys
      sys.exit(0)
    '';
    exitsWith.testScript = ''
      raise SystemExit(5)
    '';
    logsError.testScript = ''
      log.error("this ends it")
    '';
    # Processes that can't say how it went.
    vanishes.testScript = ''
      os._exit(0)
    '';
    killed.testScript = ''
      os.kill(os.getpid(), 9)
    '';
    threads.testScript = ''
      import threading

      def work():
          raise RuntimeError("in a thread")

      thread = threading.Thread(target=work)
      thread.start()
      thread.join()
    '';
  };

  timeouts = cases "timeouts" {
    script = {
      globalTimeout = 1;
      testScript = ''
        import time

        print("sleeping")
        time.sleep(600)
      '';
    };
    # Does not end when it is asked to.
    stubborn = {
      globalTimeout = 1;
      testScript = ''
        import signal
        import subprocess
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("sleeping")
        subprocess.run(["sleep", "600"])
        while True:
            time.sleep(600)
      '';
    };
    machine = {
      globalTimeout = 5;
      containers.a = { };
      testScript = ''
        a.wait_for_unit("multi-user.target")
        a.succeed("sleep 600")
      '';
    };
    # Nothing ever answers.
    boot = {
      globalTimeout = 2;
      containers.a.machine = {
        init = guest.build.busybox;
        cmdline = [
          "sleep"
          "600"
        ];
      };
      testScript = ''
        a.wait_for_unit("multi-user.target")
      '';
    };
  };
}
