# shellcheck shell=bash disable=SC2174 # -p is for what may be there
#
# What NixOS's stage 2 does to the system it starts in, step by step, so that
# a container that this boots in can hold NixOS too. Failures are not fatal,
# as they are not there.
systemConfig=@out@
# Small tools are busybox's where that serves: a fork of a static program takes
# half as long, and there are some thirty of them.
export HOME=/root PATH=$systemConfig/boot-tools:@debian@/usr/bin:@debian@/usr/sbin

echo
echo -e "\e[1;32m<<< NixOS-like stage 2 >>>\e[0m"
echo

if [ -z "$container" ]; then
    mount -n -o remount,rw none /
fi

# Special file systems. NixOS's list for nspawn containers holds one.
specialMount() {
    local device=$1 mountPoint=$2 options=$3 fsType=$4
    mkdir -m 0755 -p "$mountPoint"
    mount -n -t "$fsType" -o "$options" "$device" "$mountPoint"
}
if [ ! -e /proc/1 ] || [ -n "$container" ]; then
    specialMount ramfs /run/keys nosuid,nodev,mode=750 ramfs
fi

if [ -w /dev/kmsg ]; then
    echo "booting system configuration $systemConfig" >/dev/kmsg
fi

# The store is not writable by its user.
chown -f 0:30000 /nix/store
chmod -f 1775 /nix/store
# mounted DIR [OPTION]: whether something is mounted there, with that option.
# In mountinfo the fifth word is the place, the sixth the options (proc(5)).
mounted() {
    local place options
    while read -r _ _ _ _ place options _; do
        [[ $place != "$1" || ,$options, != *,${2-},* && $# -gt 1 ]] || return 0
    done </proc/self/mountinfo
    return 1
}
if ! mounted /nix/store ro; then
    mount --bind /nix/store /nix/store
    mount -o remount,ro,bind /nix/store
fi

mkdir -m 0755 -p /etc
[ -e /etc/fstab ] || : >/etc/fstab
rm -f /etc/mtab*
ln -s /proc/mounts /etc/mtab

# shellcheck disable=SC2013 # words, not lines
for word in $(cat /proc/cmdline); do
    case $word in
    boot.debugtrace) set -x ;;
    esac
done

mkdir -m 01777 -p /tmp
mkdir -m 0755 -p /var /var/log /var/lib /var/db /nix/var /home /etc/nixos /bin
mkdir -m 0700 -p /root
chmod 0700 /root
rm -rf /var/run /var/lock
rm -f /etc/{group,passwd,shadow}.lock
rm -rf /nix/var/nix/gcroots/tmp /nix/var/nix/temproots
mkdir -m 0755 -p /nix/var/nix/gcroots

if ! mounted /run/keys; then
    rm -rf /run/keys
    mkdir /run/keys
    mount -t ramfs ramfs /run/keys
fi
chown 0:96 /run/keys
chmod 0750 /run/keys

mkdir -m 0755 -p /run/lock
ln -s /run /var/run
ln -s /run/lock /var/lock

# From here on what is written also goes to a log.
exec {logOut}>&1 {logErr}>&2
if [ -w /dev/kmsg ]; then
    exec > >(tee -i "/proc/self/fd/$logOut" | while read -r line; do
        if [ -n "$line" ]; then
            echo "<7>stage-2-init: $line" >/dev/kmsg
        fi
    done) 2>&1
else
    mkdir -p /run/log
    exec > >(tee -i /run/log/stage-2-init.log) 2>&1
fi

echo "running activation script..."
"$systemConfig/activate"

ln -sfn "$systemConfig" /run/booted-system
ln -sfn /run/booted-system /nix/var/nix/gcroots/booted-system

exec 1>&"$logOut" 2>&"$logErr"
exec {logOut}>&- {logErr}>&-

echo "starting systemd..."
export PATH=/run/current-system/systemd/lib/systemd
exec "$systemConfig/systemd/lib/systemd/systemd" "$@"
