#!/usr/bin/env bash
# enter.sh ROOT [--rw-bind SRC DST]... [--pid-file FILE] -- CMD...
#
# Runs CMD inside the tree ROOT (see make-root.sh), as process 1 of new mount,
# PID and cgroup namespaces. When CMD ends, or this script is ended, all that
# runs inside ends too and nothing stays: mounts are private to the namespace,
# and CMD's cgroup is killed and removed.
#
#   --rw-bind SRC DST  binds SRC of the host, with what is mounted below it,
#                      on DST inside; DST is made when it is missing
#   --pid-file FILE    writes the host's process id of CMD to FILE just before
#                      CMD starts, for nsenter
#
# pivot_root, not chroot: in a chroot the kernel refuses CLONE_NEWUSER, and Nix
# then builds without a user namespace, and says nothing (user_namespaces(7),
# EPERM).
set -euo pipefail

usage() {
    echo "usage: enter.sh ROOT [--rw-bind SRC DST]... [--pid-file FILE] -- CMD..." >&2
    exit 2
}

# Second half: this runs in the new namespaces, the host's tree still in view.
inside() {
    local root=$1
    shift
    mount --bind "$root" "$root"
    mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs "$root/dev"
    local node
    # kvm as far as the host has it: Nix hands it on to builds.
    for node in null zero full random urandom tty kvm; do
        [ -e "/dev/$node" ] || continue
        : >"$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,nosuid,noexec devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin"
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"
    # Private to this entry, so that several may share one tree and its store.
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/nix/var/nix/daemon-socket"

    local pid_file=
    while [ "$1" != -- ]; do
        case $1 in
        --rw-bind)
            mkdir -p "$root$3"
            mount --rbind "$2" "$root$3"
            shift 3
            ;;
        --pid-file)
            pid_file=$2
            shift 2
            ;;
        esac
    done
    shift
    # /proc is still the host's: the number in it is the one the host knows.
    # The builtin reads it, not a child.
    if [ -n "$pid_file" ]; then
        local pid rest
        read -r pid rest </proc/self/stat
        echo "$pid" >"$pid_file.tmp"
        mv "$pid_file.tmp" "$pid_file"
    fi
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    # The old root needs a place; one on the disk would be shared with others
    # who enter at this moment.
    mkdir "$root/run/old-root"
    cd "$root"
    pivot_root . run/old-root
    cd /
    umount -l /run/old-root
    rmdir /run/old-root
    # Started in the background by a shell without job control: undo what it
    # did to the signals.
    exec env -i --default-signal=INT,QUIT \
        PATH=/usr/sbin:/usr/bin HOME=/root TERM="${TERM:-dumb}" USER=root \
        "$@"
}

if [ "${1-}" = --inside ]; then
    shift
    inside "$@"
fi

[ $# -ge 3 ] || usage
root=$(readlink -f "$1")
shift
[ -x "$root/usr/bin/env" ] || {
    echo "enter.sh: $root is no system tree; make one with make-root.sh" >&2
    exit 1
}
args=("$@")
while [ "${1-}" != -- ]; do
    case ${1-} in
    --rw-bind) count=3 ;;
    --pid-file) count=2 ;;
    *) usage ;;
    esac
    [ $# -gt "$count" ] || usage
    shift "$count"
done
[ $# -ge 2 ] || usage

# Nix makes its build cgroups below its own, so its own must be one that can
# be removed as a whole.
hierarchy=$(findmnt -n -t cgroup2 -o TARGET | head -n 1) || true
[ -n "$hierarchy" ] || {
    echo "enter.sh: no cgroup2 is mounted here; mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified" >&2
    exit 1
}
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
cgroup=$hierarchy${own%/}/nestbox-nix-$$

# What an enter.sh left that was ended by SIGKILL: no process, but a cgroup.
# One that is in use can't be removed.
for left in "$hierarchy${own%/}"/nestbox-nix-*; do
    if [ -d "$left" ] && [ ! -d "/proc/${left##*-}" ]; then
        find "$left" -depth -type d -exec rmdir {} + 2>/dev/null || true
    fi
done

child=
# shellcheck disable=SC2317 # called by the trap
finish() {
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    # A killed task leaves its cgroup a moment after its death.
    local try
    for try in {1..200}; do
        [ -d "$cgroup" ] || return 0
        echo 1 2>/dev/null >"$cgroup/cgroup.kill" || true
        find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && return
        sleep 0.02
    done
    echo "enter.sh: $cgroup can't be removed after $try tries" >&2
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$cgroup"
# In the background, because a shell runs its traps only between commands;
# with this shell's standard input, which it would not get by itself. Should
# this shell be killed, the kernel tells setpriv's successor.
(
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    exec setpriv --pdeathsig KILL \
        unshare --mount --cgroup --pid --fork --kill-child --propagation private \
        "$0" --inside "$root" "${args[@]}"
) <&0 &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
