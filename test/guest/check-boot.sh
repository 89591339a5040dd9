# shellcheck shell=sh disable=SC2123 # no PATH until there are programs
#
# Builder of check-boot.nix: gives the sandbox what systemd-nspawn expects of
# a host, then runs the check.
# shellcheck disable=SC2154 # debian, check, scripts, out: the derivation's
set -eu
PATH=/none
for name in usr bin sbin lib lib64; do
    # Nix puts a shell at /bin/sh.
    [ -e "/$name" ] || ln -s "$debian/$name" "/$name"
done
export PATH=/usr/bin:/usr/sbin
mkdir -p /run /var
mount -t tmpfs -o mode=755 tmpfs /run
ln -sfn /run /var/run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
: >/etc/os-release
echo 00000000000000000000000000000001 >/etc/machine-id
mkdir "$out"
# shellcheck disable=SC2086 # a list
exec python3 "$check" "$out/report.json" $scripts
