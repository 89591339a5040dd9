# shellcheck shell=sh disable=SC2123 # no PATH until there are programs
#
# Builder of lib.nix's `sandboxed`, run by busybox's shell.
# shellcheck disable=SC2154 # debian, nestbox, scriptPath, out: the derivation's
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
exec bash -euo pipefail "$scriptPath"
