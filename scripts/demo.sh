#!/usr/bin/env bash
# demo.sh: boots two containers on a VLAN in a real Nix build with the uid-range
# sandbox, lets each ping the other, and says how long that took. `make demo`
# makes what it needs first.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
cd "$top"
[ "$(id -u)" = 0 ] || die "needs root, to enter a tree with a Nix of its own"

log=$cache/log/demo.log
mkdir -p "$(dirname "$log")"
say "building vm-test-run-ping of test/e2e/tests.nix"
go run ./test/nixtest test/e2e/tests.nix ping 2>&1 | tee "$log"

# word PATTERN: what the log says last where PATTERN has its group.
word() {
    sed -nE "s/$1/\\1/p" "$log" | tail -n 1
}
cat <<TEXT

Two containers were booted by systemd in a real Nix build and pinged each other.
  test script: $(word '^test script finished in ([0-9.]+)s$') s, from the first container's start to the last ping
  Nix build:   $(word '^\/nix\/store\/.* \(([0-9.]+) s\)$') s, from nix-build's start to its end
The log is in ${log#"$top"/}.
TEXT
