# What the files of this folder share: builds that start the driver themselves,
# where a test derivation would only show whether it passed.
{
  guest,
  nestbox,
  nonce,
}:
let
  inherit (guest) debian build;
in
rec {
  inherit guest nestbox;

  # test { name; containers; testScript; … }: a test derivation, see
  # ../guest/test.nix.
  test = args: guest.mkTest ({ inherit nestbox nonce; } // args);

  # config { … }: the folder with config.json of such a test.
  config = args: (test ({ name = "config"; } // args)).config;

  # build NAME ATTRS SCRIPT: a derivation with the sandbox of a test whose
  # builder runs SCRIPT in bash, with Debian's programs and nestbox on PATH and
  # $out made.
  sandboxed =
    name: attrs: script:
    derivation (
      {
        inherit name nonce debian script;
        system = builtins.currentSystem;
        requiredSystemFeatures = [
          "nixos-test"
          "uid-range"
        ];
        builder = build.busybox;
        args = [
          "sh"
          ./build.sh
        ];
        passAsFile = [ "script" ];
        nestbox = builtins.storePath nestbox;
      }
      // attrs
    );

  # cases NAME { key = { … as for config … }; }: runs the driver on each test
  # in turn, whatever comes of it. $out/KEY holds its log, its exit status and
  # how many milliseconds it took.
  cases =
    name: tests:
    sandboxed name
      {
        tests = builtins.concatStringsSep " " (
          map (key: "${key}=${config tests.${key}}") (builtins.attrNames tests)
        );
      }
      ''
        for pair in $tests; do
            mkdir "$out/''${pair%%=*}"
            cd "$out/''${pair%%=*}"
            status=0
            began=$(date +%s%3N)
            nixos-test-driver --config "''${pair#*=}/config.json" -o "$TMPDIR" >log 2>&1 </dev/null || status=$?
            echo "$(($(date +%s%3N) - began))" >milliseconds
            echo "$status" >status
        done
      '';
}
