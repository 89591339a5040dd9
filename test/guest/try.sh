#!/usr/bin/env bash
# try.sh ATTR [NESTBOX] [nix-build options]: builds an attribute of
# examples.nix in the Nix tree, NESTBOX (a static binary) being the driver.
# Prints where the host sees the result. Needs make-root.sh and make-debian.sh.
#
#   test/guest/try.sh system              a guest's system
#   test/guest/try.sh ping bin/nestbox    the ping test, anew each time
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
top=$(readlink -f "$here/../..")
[ $# -ge 1 ] || {
    echo "usage: try.sh ATTR [NESTBOX] [nix-build options]" >&2
    exit 2
}
attr=$1
shift
driver=
if [ $# -gt 0 ] && [ -f "$1" ]; then
    driver=$(mktemp -d)
    trap 'rm -rf "$driver"' EXIT
    mkdir "$driver/bin"
    cp "$1" "$driver/bin/nestbox"
    ln -s nestbox "$driver/bin/nixos-test-driver"
    shift
fi
# The store path of the Debian tree is noted as package nixenv notes it.
note=$top/.cache/nix-root/nix/var/nestbox-added-debian
stamp=$(cat "$top/.cache/debian-guest/.stamp")
# shellcheck disable=SC2016 # expanded inside
"$top/test/nix/nix.sh" bash -euc '
    top=$1 note=$2 stamp=$3 driver=$4 attr=$5
    shift 5
    debian=$(head -n 1 "$note" 2>/dev/null || true)
    if [ ! -e "$debian" ] || [ "$(tail -n +2 "$note")" != "$stamp" ]; then
        debian=$(nix store add --name debian "/host$top/.cache/debian-guest")
        printf "%s\n%s\n" "$debian" "$stamp" >"$note.$$"
        mv "$note.$$" "$note"
    fi
    nestbox=
    if [ -n "$driver" ]; then
        nestbox=$(nix store add --name nestbox "/host$driver")
    fi
    nix-build --no-out-link "/host$top/test/guest/examples.nix" -A "$attr" \
        --argstr debian "$debian" --argstr nestbox "$nestbox" --argstr nonce "$(date +%s%N)" "$@" |
        sed "s,^,$top/.cache/nix-root,"
' - "$top" "/host$note" "$stamp" "$driver" "$attr" "$@"
