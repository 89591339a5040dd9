# mkTest { … }: the derivation vm-test-run-NAME, which runs a test as nixpkgs
# does: bin/nixos-test-driver of `nestbox` with a configuration in JSON.
{
  debian,
  build,
  network,
  mkGuest,
  mkStartScript,
}:
{
  name,
  # { web = { … }; }: each has the arguments of mkGuest but name, interfaces
  # and machines, and
  #   vlans ? [ 1 ]         eth1 … on these
  #   cmdline ? [ ]         arguments for its init
  #   nspawnOptions ? [ ]   more options for the start script
  #   machine ? null        an attribute set: the container is given as
  #                         Nestbox's own machine object, with these keys
  #                         beside init, cmdline and interfaces, and not as a
  #                         start script
  containers ? { },
  testScript,
  globalTimeout ? 600,
  # Words for the driver's command line.
  extraDriverArgs ? [ ],
  # A folder, or its store path, with bin/nixos-test-driver.
  nestbox,
  # Environment of the build, { NAME = "value"; }.
  env ? { },
  # Change it to run a test again that has passed.
  nonce ? "",
}:
let
  numbers = network.number containers;
  interfacesOf =
    key: network.interfaces numbers.${key} (containers.${key}.vlans or [ 1 ]);
  hostNameOf = key: containers.${key}.hostName or key;
  machines = map (key: {
    hostName = hostNameOf key;
    interfaces = interfacesOf key;
  }) (builtins.attrNames containers);

  entry =
    key:
    let
      container = containers.${key};
      interfaces = interfacesOf key;
      cmdline = container.cmdline or [ ];
      machine = container.machine or null;
      toplevel = mkGuest (
        {
          name = key;
          inherit interfaces machines;
        }
        // builtins.removeAttrs container [ "vlans" "cmdline" "nspawnOptions" "machine" ]
      );
    in
    if machine != null then
      {
        name = key;
        init = "${toplevel}/init";
        inherit cmdline;
        interfaces = map (i: { inherit (i) name vlan; }) interfaces;
      }
      // machine
    else
      {
        name = key;
        start_script = "${
          mkStartScript {
            name = key;
            inherit toplevel interfaces cmdline;
            options = container.nspawnOptions or [ ];
          }
        }/bin/run-${key}-nspawn";
      };

  vlans = builtins.attrNames (
    builtins.listToAttrs (
      map (vlan: {
        name = toString vlan;
        value = null;
      }) (builtins.concatMap (key: containers.${key}.vlans or [ 1 ]) (builtins.attrNames containers))
    )
  );

  config = build.tree "nixos-test-config-${name}" {
    "test-script" = testScript;
    "config.json" = builtins.toJSON {
      vms = { };
      containers = builtins.mapAttrs (key: _: entry key) containers;
      vlans = builtins.sort builtins.lessThan (map builtins.fromJSON vlans);
      global_timeout = globalTimeout;
      enable_ssh_backdoor = false;
      test_script = "@out@/test-script";
    };
  } ''sed -i "s,@out@,$out,g" config.json'';
in
derivation (
  env
  // {
    name = "vm-test-run-${name}";
    system = builtins.currentSystem;
    requiredSystemFeatures = [
      "nixos-test"
      "uid-range"
    ];
    builder = build.busybox;
    args = [
      "sh"
      ./run-test.sh
    ];
    inherit debian config nonce;
    nestbox = if builtins.isString nestbox then builtins.storePath nestbox else nestbox;
    driverArgs = build.escapeAll extraDriverArgs;
  }
)
// {
  inherit config;
}
