# Proof that guests boot as they should, without Nestbox: in a uid-range
# sandbox systemd-nspawn starts them by their start scripts, and $out/report.json
# tells how long they took and what they found.
{
  debian,
  count ? "2",
  # One more command for each machine, its answer in the report.
  ask ? "",
  # "1": with setuid wrappers, which this sandbox refuses.
  setuid ? "",
  nonce ? "",
}:
let
  lib = import ./lib.nix { inherit debian; };
  # Numbers go by the alphabet: m02 is before m10.
  names = builtins.genList (i: (if i < 9 then "m0" else "m") + toString (i + 1)) (
    builtins.fromJSON count
  );
  containers = builtins.listToAttrs (map (name: { inherit name; value = { }; }) names);
  numbers = lib.network.number containers;
  machines = map (name: {
    hostName = name;
    interfaces = lib.network.interfaces numbers.${name} [ 1 ];
  }) names;
  scripts = map (
    machine:
    "${
      lib.mkStartScript {
        name = machine.hostName;
        inherit (machine) interfaces;
        # nspawn mounts a fresh /proc and /sys when its own ones are out of view,
        # which a user namespace forbids unless others are in view (as in
        # nixpkgs' start scripts of 2026).
        options = [
          "--private-users=no"
          "--bind=/proc:/run/host/proc"
          "--bind=/sys:/run/host/sys"
        ];
        toplevel = lib.mkGuest {
          name = machine.hostName;
          inherit machines;
          inherit (machine) interfaces;
          services = [ "listener" ];
          setuidWrappers = setuid != "";
        };
      }
    }/bin/run-${machine.hostName}-nspawn"
  ) machines;
in
derivation {
  name = "check-boot-${count}";
  system = builtins.currentSystem;
  requiredSystemFeatures = [
    "nixos-test"
    "uid-range"
  ];
  builder = lib.build.busybox;
  args = [
    "sh"
    ./check-boot.sh
  ];
  check = ./check_boot.py;
  inherit (lib) debian;
  inherit scripts ask nonce;
}
