# One build for each scenario, in which all contenders take turns: the same
# sandbox, the same guests, the same minutes.
{
  debian,
  nestbox,
  # bin/floor, see floor/.
  floor,
  # How many rounds count; one more goes before them and does not.
  rounds ? "5",
  contenders ? "nestbox peer floor",
  nonce ? "",
}:
let
  guest = import ../test/guest/lib.nix { inherit debian; };

  # m01 is before m10.
  names =
    count: builtins.genList (i: (if i < 9 then "m0" else "m") + toString (i + 1)) count;

  # scenario NAME { machines; services; }: the derivation bench-NAME, which runs
  # scripts/NAME.py.
  scenario =
    name:
    {
      machines,
      services ? [ ],
    }:
    let
      test = guest.mkTest {
        inherit name nestbox;
        containers = builtins.listToAttrs (
          map (machine: {
            name = machine;
            value = {
              inherit services;
              # What nixpkgs' start scripts say too; nspawn could not mount /proc
              # and /sys otherwise. Nestbox reads over it.
              nspawnOptions = [
                "--private-users=no"
                "--bind=/proc:/run/host/proc"
                "--bind=/sys:/run/host/sys"
              ];
              # Only Nestbox can have them in this sandbox; for the others it
              # would be one more unit that fails.
              setuidWrappers = false;
              # NixOS's default. The peer reads the journal from its files.
              etc."systemd/journald.conf.d/storage.conf" = "[Journal]\nStorage=persistent\n";
            };
          }) machines
        );
        testScript = builtins.readFile ./scripts/prelude.py + builtins.readFile (./scripts + "/${name}.py");
      };
    in
    derivation {
      name = "bench-${name}";
      system = builtins.currentSystem;
      requiredSystemFeatures = [
        "nixos-test"
        "uid-range"
      ];
      builder = guest.build.busybox;
      args = [
        "sh"
        ./inside/builder.sh
      ];
      scenario = name;
      inside = ./inside;
      peer = ./peer;
      nestbox = builtins.storePath nestbox;
      floor = builtins.storePath floor;
      inherit (guest) debian;
      inherit (test) config;
      inherit machines rounds contenders nonce;
    };
in
{
  ping = scenario "ping" {
    machines = [
      "a"
      "b"
    ];
  };
  many = scenario "many" {
    machines = names 24;
    services = [ "idle" ];
  };
  calls = scenario "calls" { machines = [ "a" ]; };
  memory = scenario "memory" {
    machines = names 24;
    services = [ "idle" ];
  };
}
