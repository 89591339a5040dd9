# shellcheck shell=sh disable=SC2123 # no PATH until there are programs
#
# Builder of test derivations (test.nix), run by busybox's shell. What a
# nixpkgs builder would find by store paths, Debian's programs find in /usr.
# shellcheck disable=SC2154 # debian, config, nestbox, driverArgs, out: the derivation's
set -eu
PATH=/none
for name in usr bin sbin lib lib64; do
    # Nix puts a shell at /bin/sh.
    [ -e "/$name" ] || ln -s "$debian/$name" "/$name"
done
export PATH="$nestbox/bin:/usr/bin:/usr/sbin"
# Mutes the XML log, as nixpkgs does.
export LOGFILE=/dev/null
mkdir "$out"
eval "set -- $driverArgs"
exec "$nestbox/bin/nixos-test-driver" --config "$config/config.json" "$@" -o "$out"
