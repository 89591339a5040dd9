#!@debian@/usr/bin/bash
# shellcheck disable=SC2239,SC2317,SC2174 # a template; called by name
#
# The parts of a NixOS activation script that ask something of the machine.
systemConfig=@out@
export PATH=$systemConfig/boot-tools:@debian@/usr/bin:@debian@/usr/sbin
_status=0
trap "_status=1 _localstatus=\$?" ERR
umask 0022

# snippet NAME: runs the function of that name and says when it failed.
snippet() {
    _localstatus=0
    "$1"
    if ((_localstatus > 0)); then
        printf "Activation script snippet '%s' failed (%s)\n" "$1" "$_localstatus"
    fi
}

specialfs() {
    # Mounted already, by stage 2 at boot, so this is a remount.
    if grep -q ' /run/keys ' /proc/self/mountinfo; then
        mount -t ramfs -o remount,nosuid,nodev,mode=750 ramfs /run/keys
    else
        mount -t ramfs -o nosuid,nodev,mode=750 ramfs /run/keys
    fi
}

users() {
    # Made once; a later activation keeps what the machine changed.
    [ -e /etc/passwd ] || install -m 0644 "$systemConfig"/users/{passwd,group} /etc/
    [ -e /etc/shadow ] || install -m 0640 -g 42 "$systemConfig/users/shadow" /etc/
    local name _ uid gid home
    while IFS=: read -r name _ uid gid _ home _; do
        if [[ $home == /home/* && ! -e $home ]]; then
            mkdir -m 0700 "$home"
            chown "$uid:$gid" "$home"
        fi
    done <"$systemConfig/users/passwd"
}

etc() {
    ln -sfn "$systemConfig/etc" /etc/static
    # Every file of /etc is a link into /etc/static, prepared at build time.
    cp -dRf --no-preserve=mode "$systemConfig/etc-links/." /etc/
}

var() {
    mkdir -m 1777 -p /var/tmp
    mkdir -p /var/empty
    chattr -f -i /var/empty || true
    find /var/empty -mindepth 1 -maxdepth 1 -exec rm -rf {} +
    chmod 0555 /var/empty
    chown root:root /var/empty
    # Refused in a user namespace, which is no failure.
    chattr -f +i /var/empty || true
}

hostname_() {
    local name
    read -r name </etc/hostname
    hostname "$name"
}

tmpfiles() {
    systemd-tmpfiles --create "$systemConfig/tmpfiles.conf"
}

snippet specialfs
snippet users
snippet etc
snippet var
snippet hostname_
snippet tmpfiles

ln -sfn "$(readlink -f "$systemConfig")" /run/current-system
ln -sfn /run/current-system /nix/var/nix/gcroots/current-system
exit "$_status"
