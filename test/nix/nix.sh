#!/usr/bin/env bash
# nix.sh CMD...: runs CMD in the Nix tree of this repository, with a daemon
# that lives as long as CMD. The host's files are under /host, and the working
# directory is the caller's, there. make-root.sh comes first.
#
#   test/nix/nix.sh nix-build --no-out-link test/guest/examples.nix …
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
[ $# -gt 0 ] || {
    echo "usage: nix.sh CMD..." >&2
    exit 2
}
# Held as long as anything runs in there: package nixenv sweeps only what
# nobody uses.
exec 9<>"$here/../../.cache/nix-root/nix/var/nestbox.lock"
flock --shared 9
log=$here/../../.cache/log/nix-daemon-nix.sh.log
mkdir -p "$(dirname "$log")"
# shellcheck disable=SC2016 # expanded inside
exec "$here/enter.sh" "$here/../../.cache/nix-root" --rw-bind / /host -- bash -c '
    nix-daemon --daemon </dev/null >"/host$1" 2>&1 &
    export NIX_REMOTE=daemon HOME=/tmp LANG=C.UTF-8
    for _ in {1..500}; do
        [ ! -S /nix/var/nix/daemon-socket/socket ] || break
        sleep 0.01
    done
    cd "/host$2" && shift 2 && "$@"
' - "$(readlink -f "$log")" "$PWD" "$@"
