# The tests that test/e2e builds, and the demo: real uid-range builds that call
# the driver as nixpkgs does.
{
  debian,
  nestbox,
  nonce ? "",
}:
let
  guest = import ../guest/lib.nix { inherit debian; };
  test = args: guest.mkTest ({ inherit nestbox nonce; } // args);
in
{
  ping = test {
    name = "ping"; globalTimeout = 15;
    containers.n1 = { };
    containers.n2 = { };
    testScript = ''
      start_all()
      n1.wait_for_unit("multi-user.target")
      n2.wait_for_unit("multi-user.target")
      n1.succeed("ping -c 1 -W 5 n2")
      n2.succeed("ping -c 1 -W 5 n1")
    '';
  };
}
