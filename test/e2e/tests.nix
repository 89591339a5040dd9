# The builds of package e2e, and the demo: real uid-range builds that call the
# driver as nixpkgs does. By hand: go run ./test/nixtest test/e2e/tests.nix ping
{
  debian,
  nestbox,
  nonce ? "",
}:
let
  guest = import ../guest/lib.nix { inherit debian; };
  lib = import ./lib.nix { inherit guest nestbox nonce; };
  part = file: import file lib;
in
part ./network.nix
// part ./failing.nix
// part ./commands.nix
// part ./lives.nix
// part ./hardening.nix
// part ./input.nix
// part ./leaks.nix
// part ./nixos.nix
// part ./object.nix
// part ./waiting.nix
