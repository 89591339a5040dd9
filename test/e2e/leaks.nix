# How a driver can end, and what is left in the build then: nothing.
{ config, sandboxed, ... }:
let
  test =
    globalTimeout:
    config {
      inherit globalTimeout;
      containers.a = { };
      containers.b.machine = {
        root = {
          kind = "overlay";
          lower = "/build/lower";
        };
      };
      containers.c.vlans = [
        1
        2
      ];
      testScript = ''
        import threading

        start_all()
        for machine in machines:
            machine.wait_for_unit("multi-user.target")
        # All sorts of things that hold on to something.
        a.succeed("systemd-run sleep 1000; ip netns add inner; mkdir /run/m; mount -t tmpfs none /run/m")
        a.execute("trap ''' TERM INT HUP; sleep 1000; sleep 1000", check_output=False)
        a.execute("unshare --user --map-root-user --pid --fork --mount --net sleep 1000", check_output=False)
        b.succeed("systemctl start user@1000; setsid sleep 1000 >/dev/null 2>&1 &")
        c.crash()
        c.start()
        c.wait_for_unit("multi-user.target")
        threading.Thread(target=a.execute, args=("sleep 1000",), daemon=True).start()
        ending = os.environ["ending"]
        # A killed driver can't end what the script itself started; Nix does.
        if ending != "SIGKILL":
            os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
        print("HOLDING", flush=True)
        if ending == "success":
            pass
        elif ending == "failure":
            t.fail("as told")
        else:
            b.succeed("sleep 1000")
      '';
    };

  leaks =
    ending: globalTimeout:
    sandboxed "leaks-${ending}"
      {
        inherit ending;
        config = test globalTimeout;
        observer = ./leaks.py;
      }
      ''
        mkdir -p /build/lower/etc
        # Process 1 of the build, which sees to orphans.
        exec python3 -B -W ignore "$observer"
      '';
in
{
  leaks = builtins.listToAttrs (
    map
      (ending: {
        name = ending;
        value = leaks ending (if ending == "timeout" then 12 else 120);
      })
      [
        "success"
        "failure"
        "timeout"
        "SIGINT"
        "SIGTERM"
        "SIGKILL"
        # Signals at any moment of the way up.
        "anytime"
      ]
  );
}
