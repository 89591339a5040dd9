# NixOS-like guests and tests of them, without nixpkgs.
#
#   let lib = import ./lib.nix { debian = "/nix/store/…-debian"; }; in
#   lib.mkTest { name = "ping"; containers = { a = { }; b = { }; }; … }
#
# debian is the store path of the tree that test/nix/make-debian.sh makes.
# See README.md for what a guest is and how it differs from NixOS.
{ debian }:
let
  # storePath gives the plain string the context that makes it an input.
  tree = builtins.storePath debian;
  build = import ./build.nix { debian = tree; };
  network = import ./network.nix;
  mkGuest = import ./guest.nix { inherit build network; debian = tree; };
  scripts = import ./start-script.nix { inherit build; debian = tree; };
  mkTest = import ./test.nix { inherit build network mkGuest; inherit (scripts) mkStartScript; debian = tree; };
in
{
  inherit build network mkGuest mkTest;
  inherit (scripts) mkStartScript runNspawn;
  debian = tree;
}
