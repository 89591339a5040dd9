# What the command line says to wrong input, in a place where nothing can run,
# and one machine by hand.
{
  guest,
  nestbox,
  sandboxed,
  config,
  ...
}:
let
  inherit (guest) build;
  debian = guest.debian;

  # Writes $out/NAME/{log,status} of each command.
  record = ''
    record() {
        mkdir "$out/$1"
        local status=0
        "''${@:2}" >"$out/$1/log" 2>&1 || status=$?
        echo "$status" >"$out/$1/status"
    }
  '';

  wrong = builtins.toFile "wrong.json" (
    builtins.toJSON {
      containers = {
        web = {
          init = "/nix/store/not-there/init";
          interface = [ ];
          interfaces = [
            {
              name = "eth1";
              vlan = 300;
            }
          ];
          mounts = [
            {
              source = "/missing";
              target = "relative";
            }
          ];
          limits.pids = -1;
        };
        db = {
          start_script = "/missing/run-db-nspawn";
        };
      };
      vms.web.start_script = "/missing/run-web-vm";
      vlans = [ 4094 ];
      global_timeout = "an hour";
      test_script = "/missing/script.py";
    }
  );
  passing = config { testScript = "print('it ran')\n"; };
in
{
  # Exit code 2 each, and what is wrong.
  badInput = sandboxed "bad-input" { inherit wrong passing; } ''
    ${record}
    cd "$TMPDIR"
    echo '{"containers": {"a": {' >cut.json
    record config nixos-test-driver --config "$wrong" -o "$out"
    record cut nixos-test-driver --config cut.json
    record missing nixos-test-driver --config missing.json
    record none nixos-test-driver
    record flag nixos-test-driver --config "$passing/config.json" --no-such-flag
    record level nixos-test-driver --config "$passing/config.json" --log-level loud
    record output nixos-test-driver --config "$passing/config.json" -o /missing
    record command nestbox tset
    record run nestbox run
    record spec nestbox run "$wrong"
    # Prefixes of flags and older names are no mistakes.
    record prefixes nixos-test-driver --conf="$passing/config.json" --output "$TMPDIR" --log debug --keep-vm-state
    record subcommand nestbox test --config "$passing/config.json" -o "$TMPDIR"
  '';

  # Exit code 3, and what to do about it. As Nix builds without the feature:
  # not as root, and nothing to be written to but $out and $TMPDIR.
  unfit = derivation {
    name = "unfit";
    system = builtins.currentSystem;
    builder = build.busybox;
    args = [
      "sh"
      "-euc"
      ''
        export PATH=/none
        $busybox mkdir $out
        status=0
        $nestbox/bin/nixos-test-driver --config $passing/config.json -o $out >$out/log 2>&1 || status=$?
        echo $status >$out/status
      ''
    ];
    inherit (build) busybox;
    inherit passing debian;
    nestbox = builtins.storePath nestbox;
  };

  # nestbox run, and the examples of each --help.
  run =
    let
      toplevel = guest.mkGuest { name = "web"; };
      machine = build.tree "machine" {
        "web.json" = builtins.toJSON {
          name = "web";
          init = "${toplevel}/init";
        };
      } "";
    in
    sandboxed "run"
      {
        inherit machine toplevel passing;
        start_script = "${
          guest.mkStartScript {
            name = "web";
            inherit toplevel;
          }
        }/bin/run-web-nspawn";
      }
      ''
      ${record}
      cd "$TMPDIR"
      on() { echo "$1" | nestbox run "$machine/web.json"; }
      record running on 'systemctl is-system-running --wait'
      record status on 'echo out; exit 7'
      record state on 'touch /root/state; hostname; ls /root; systemctl --failed --no-legend --plain'
      record poweroff on 'systemctl poweroff; sleep 60'
      record order nestbox run --log-level info "$machine/web.json" <<<'echo bye'
      record empty nestbox run "$machine/web.json" </dev/null
      # Nothing is left, and an earlier machine's state is not seen.
      record again on 'ls /root'
      ls -A "$TMPDIR" >"$out/left"
      echo "{\"name\": \"web\", \"start_script\": \"$start_script\"}" >script.json
      record script nestbox run script.json <<<'hostname'

      record schema nestbox schema
      python3 -m json.tool "$out/schema/log" >/dev/null
      record version nestbox version
      record help nestbox --help
      for command in test run schema version; do
          record "help-$command" nestbox "$command" --help
      done

      # The examples of --help, as they stand but for names that are anyone's.
      mkdir examples
      cd examples
      cp "$passing/config.json" driver.json
      for command in test run schema version; do
          sed -n '/^Examples:/,/^Flags:/ { /^  *[^ #]/p }' "$out/help-$command/log" |
              sed "s,/nix/store/…-nixos-system-web,$toplevel,; s,\$out,$TMPDIR,; s/--interactive/& <<<'1111 + 2222'/" >example
          test -s example
          record "example-$command" bash -euxo pipefail example </dev/null
      done
    '';
}
