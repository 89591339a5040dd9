# shellcheck shell=sh disable=SC2123 # no PATH until there are programs
#
# Builder of bench.nix: names for Debian's programs, a cgroup2 mount, and the
# rounds.
# shellcheck disable=SC2154 # debian, inside, out: the derivation's
set -eu
PATH=/none
for name in usr bin sbin lib lib64; do
    # Nix puts a shell at /bin/sh.
    [ -e "/$name" ] || ln -s "$debian/$name" "/$name"
done
export PATH=/usr/bin:/usr/sbin
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# systemd-nspawn asks for it.
: >/etc/os-release
echo 00000000000000000000000000000001 >/etc/machine-id
mkdir -p /var "$out"
ln -sfn /run /var/run
exec python3 "$inside/rounds.py" "$out"
