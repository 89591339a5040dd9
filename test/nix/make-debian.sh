#!/usr/bin/env bash
# make-debian.sh [DIR]: makes a Debian sid tree to be added to a Nix store as
# one store path: the programs of test guests and of test builders. Default:
# .cache/debian-guest of the repository. Does nothing when DIR is current.
#
# A store path holds no setuid bits, no device nodes and no sockets, and only
# root's files; whatever Nix would refuse or drop is removed here.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=bootstrap.sh
. "$(dirname "$(readlink -f "$0")")/bootstrap.sh"

# libseccomp2: loaded at run time; without it systemd ignores SystemCallFilter=.
packages=(
    systemd systemd-sysv systemd-container libpam-systemd libnss-myhostname libseccomp2
    dbus dbus-user-session
    bash coreutils util-linux mount login procps kmod findutils grep sed tar gzip
    iproute2 iputils-ping netcat-openbsd socat
    python3 busybox-static
    vde2
    acl libcap2-bin e2fsprogs
)

fill_debian() {
    local dir=$1 list
    list=$(IFS=,; echo "${packages[*]}")
    bootstrap "$dir" essential "$list"

    # Package managers and their data: nothing is installed later.
    rm -rf "$dir"/var/cache/* "$dir"/var/lib/apt "$dir"/var/lib/dpkg "$dir"/var/log/* \
        "$dir"/usr/lib/apt "$dir"/usr/share/doc-base "$dir"/usr/share/bash-completion \
        "$dir"/usr/share/zsh "$dir"/usr/share/bug "$dir"/usr/share/menu \
        "$dir"/usr/lib/udev/hwdb.d "$dir"/usr/lib/python3/dist-packages/lib2to3
    find "$dir"/usr/lib/python3* -name test -type d -prune -exec rm -rf {} +
    # Nix sets every file's time to 1, which makes Python take its byte code
    # for stale and compile each import anew; unchecked byte code has no time.
    find "$dir"/usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
    chroot "$dir" sh -c 'exec python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3*'
    # Mount points and files of a running system.
    rm -rf "${dir:?}"/dev "$dir"/proc "$dir"/sys "$dir"/run "$dir"/tmp
    rm -f "$dir"/etc/machine-id "$dir"/etc/hostname "$dir"/etc/resolv.conf "$dir"/etc/hosts
    # What a store path can't hold.
    find "$dir" \( -type b -o -type c -o -type p -o -type s \) -delete
    find "$dir" -perm /6000 -type f -exec chmod ug-s {} +
    find "$dir" -perm /6000 -type d -exec chmod ug-s {} +
}

make_tree "$(readlink -m "${1:-$here/../../.cache/debian-guest}")" "$0" fill_debian
