#!@debian@/usr/bin/bash
# shellcheck disable=SC2239,SC2043 # a template
#
# NixOS's suid-sgid-wrappers.service: copies of programs that get a setuid bit
# or file capabilities, in a folder that is put in place as a whole. The first
# refusal ends it, and so fails the unit.
export PATH=@debian@/usr/bin:@debian@/usr/sbin
set -u
chmod 755 /run/wrappers
new=$(mktemp --directory --tmpdir=/run/wrappers wrappers.XXXXXXXXXX) || exit
chmod a+rx "$new"

# wrap NAME COMMAND...: copies the program, so that nobody can run it before
# COMMAND has given it what it is to have.
wrap() {
    local copy=$new/$1
    cp "@debian@/usr/bin/$1" "$copy" &&
        chmod 0000 "$copy" &&
        chown root:root "$copy" &&
        "${@:2}" "$copy" &&
        chmod u+rx,g+x,o+x "$copy"
}

for name in @setuid@; do
    if ! wrap "$name" chmod u+s,g-s; then
        echo "wrapper setuid failed: $name"
        exit 1
    fi
done
for name in @capabilities@; do
    if ! wrap "$name" setcap cap_setpcap,cap_net_raw+ep; then
        echo "wrapper setcap failed: $name"
        exit 1
    fi
done
ln --symbolic "$new" /run/wrappers/bin.tmp
mv --no-target-directory /run/wrappers/bin.tmp /run/wrappers/bin
