#!/usr/bin/env bash
# make-root.sh [DIR]: makes a Debian sid tree that holds a Nix new enough for
# uid-range builds. Default: .cache/nix-root of the repository. Enter it with
# enter.sh. Takes some 30 s and 300 MB; does nothing when DIR is current.
#
# Nix gets a tree of its own because its Debian package would pull a newer C
# library onto the host.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=bootstrap.sh
. "$(dirname "$(readlink -f "$0")")/bootstrap.sh"

fill_root() {
    local dir=$1
    bootstrap "$dir" minbase nix-bin,nix-setup-systemd,mount,util-linux,procps
    rm -rf "$dir"/var/cache/apt/* "$dir"/var/lib/apt/lists/* "${dir:?}"/dev/*
    mkdir -p "$dir"/host "$dir"/etc/nix "$dir"/nix/store "$dir"/nix/var/nix/daemon-socket
    cat >"$dir/etc/nix/nix.conf" <<'CONF'
# What a NixOS machine sets to run container tests, and nothing from the net.
experimental-features = nix-command flakes auto-allocate-uids cgroups
auto-allocate-uids = true
use-cgroups = true
system-features = uid-range kvm nixos-test
sandbox = true
# Never fall back to an unsandboxed build behind the tests' back.
sandbox-fallback = false
substituters =
max-jobs = 2
cores = 0
keep-build-log = true
trusted-users = root
CONF
}

make_tree "$(readlink -m "${1:-$here/../../.cache/nix-root}")" "$0" fill_root
