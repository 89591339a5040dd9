# Start scripts in the shape of nixpkgs' nspawn-container module, and a
# run-nspawn for them to call.
{ debian, build }:
rec {
  runNspawn = build.tree "run-nspawn" {
    "bin/run-nspawn" = {
      mode = "755";
      text = build.fill ./run-nspawn.py { inherit debian; };
    };
  } "";

  # mkStartScript { … }: a folder with bin/run-NAME-nspawn.
  mkStartScript =
    {
      name,
      toplevel,
      interfaces ? [ ],
      cmdline ? [ ],
      rootDir ? "./${name}-root",
      options ? [ ],
    }:
    let
      # In the order in which an attribute set is listed.
      own = [
        "--cmdline-json=${builtins.toJSON cmdline}"
        "--container-name=${name}"
        "--init=${toplevel}/init"
        "--interfaces-json=${
          builtins.toJSON (
            map (i: {
              assignIP = true;
              inherit (i) name vlan;
            }) interfaces
          )
        }"
        "--root-dir=${rootDir}"
      ];
      nspawn = [
        "--private-network"
        "--machine=${name}"
        "--bind-ro=/nix/store:/nix/store"
        "--keep-unit"
        "--register=no"
        "--notify-ready=yes"
      ]
      ++ options;
    in
    build.tree "run-${name}-nspawn" {
      "bin/run-${name}-nspawn" = {
        mode = "755";
        text = ''
          #!${build.busybox} sh
          exec ${runNspawn}/bin/run-nspawn ${build.escapeAll own} ${build.escapeAll nspawn} "$@"
        '';
      };
    } "";
}
