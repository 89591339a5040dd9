#!/usr/bin/env bash
# test.sh [go test's options]: all tests. Those that need root or a real Nix
# are skipped where that is lacking, or fail with NESTBOX_REQUIRE_ALL=1.
#
# The tests of the Python side run among them (package driver/python).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
cd "$top"

if [ "${NESTBOX_REQUIRE_ALL-}" = 1 ] && [ "$(id -u)" != 0 ]; then
    die "NESTBOX_REQUIRE_ALL=1 wants every test to run, and many need root"
fi

mapfile -t small < <(go list ./... | grep -v '/test/')
mapfile -t large < <(go list ./... | grep '/test/')

# -count=1: results depend on more than Go's cache knows, such as bin/nestbox,
# the kernel and the Nix tree. A hanging test fails in good time, with the
# stacks of its goroutines. One set's failure does not keep the other from
# running.
status=0
go test -count=1 -timeout 10m "$@" "${small[@]}" || status=$?
# One package at a time: they boot machines in real Nix builds, and some of
# them measure how long that takes.
go test -count=1 -timeout 25m -p 1 "$@" "${large[@]}" || status=$?
exit "$status"
