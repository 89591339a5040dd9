# Builds for the tests of package nixenv: what they print is looked at.
{
  debian,
  script,
  # Two builds that differ in nothing else are two builds.
  nonce ? "",
}:
let
  tree = builtins.storePath debian;
in
{
  # In the sandbox that container tests get.
  ranged = derivation {
    name = "nixenv-probe";
    system = builtins.currentSystem;
    requiredSystemFeatures = [ "uid-range" ];
    builder = "${tree}/usr/bin/busybox";
    args = [
      "sh"
      "-euc"
      script
    ];
    PATH = "/none";
    inherit nonce;
  };
}
