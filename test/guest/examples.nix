# Tests to try by hand and to use as examples; see README.md.
#   nix-build examples.nix -A ping --argstr debian PATH --argstr nestbox PATH
{
  debian,
  nestbox ? "",
  nonce ? "",
}:
let
  lib = import ./lib.nix { inherit debian; };
  mkTest = args: lib.mkTest ({ inherit nestbox nonce; } // args);
in
{
  # One system, to look at or to start by hand.
  system = lib.mkGuest {
    name = "example";
    interfaces = lib.network.interfaces 1 [ 1 ];
    services = [ "listener" ];
  };

  startScript = lib.mkStartScript {
    name = "example";
    toplevel = lib.mkGuest { name = "example"; };
    interfaces = lib.network.interfaces 1 [ 1 ];
    cmdline = [ "systemd.log_level=info" ];
  };

  ping = mkTest {
    name = "ping";
    containers = {
      a = { };
      b = { };
    };
    testScript = ''
      start_all()
      a.wait_for_unit("multi-user.target")
      b.wait_for_unit("multi-user.target")
      a.succeed("ping -c 1 b")
      b.succeed("ping -c 1 a")
    '';
  };

  # The same with Nestbox's own machine object.
  pingObject = mkTest {
    name = "ping-object";
    containers = {
      a.machine = { };
      b.machine.env.GREETING = "hello";
    };
    testScript = ''
      start_all()
      a.wait_for_unit("multi-user.target")
      b.wait_for_unit("multi-user.target")
      a.succeed("ping -c 1 b")
    '';
  };
}
