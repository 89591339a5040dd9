# shellcheck shell=bash
# Sourced by make-root.sh and make-debian.sh: a Debian sid tree, made once.
#
# A tree is made in DIR.tmp and renamed, so DIR is either whole or not there.
# Its stamp file holds a digest of the scripts that made it: change one of
# them and the next run makes the tree anew.

mirror=${NESTBOX_DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }

die() {
    say "$*" >&2
    exit 1
}

# recipe SCRIPT: the digest that decides whether a tree is still current.
recipe() {
    cat "$here/bootstrap.sh" "$1" | sha256sum | cut -d' ' -f1
}

# current DIR SCRIPT: is DIR a whole tree made by this SCRIPT?
current() {
    [ -e "$1/.stamp" ] && [ "$(cut -d' ' -f1 "$1/.stamp")" = "$(recipe "$2")" ]
}

ensure_mmdebstrap() {
    [ "$(id -u)" = 0 ] || die "needs root, to unpack a Debian tree with its owners"
    if ! command -v mmdebstrap >/dev/null; then
        say "installing mmdebstrap"
        apt-get -q update
        DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends mmdebstrap
    fi
    [ -e "$keyring" ] || die "no $keyring; install debian-archive-keyring"
}

# bootstrap DIR VARIANT PACKAGES: unpacks a tree into DIR.
#
# Debian's development suite, because only there Nix knows uid-range and
# systemd is as new as NixOS's. Its archive key is in bookworm's keyring, and
# a mirror's snapshot may be some days old, hence no Check-Valid-Until.
bootstrap() {
    local dir=$1 variant=$2 packages=$3
    mmdebstrap --quiet --mode=root --variant="$variant" --include="$packages" \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='APT::Install-Recommends "false"' \
        --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/i18n/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' \
        sid "$dir" \
        "deb [signed-by=$keyring check-valid-until=no] $mirror sid main"
}

# make_tree DIR SCRIPT FILL: runs FILL DIR.tmp and puts the result at DIR.
make_tree() {
    local dir=$1 script=$2 fill=$3 started=$SECONDS
    if current "$dir" "$script"; then
        say "$dir is current"
        return
    fi
    ensure_mmdebstrap
    mkdir -p "$(dirname "$dir")"
    # Two runs at once must not share one DIR.tmp.
    exec 9>"$dir.lock"
    flock 9
    if current "$dir" "$script"; then
        say "$dir is current"
        return
    fi
    rm -rf --one-file-system "$dir.tmp"
    say "making $dir"
    "$fill" "$dir.tmp"
    # The second word changes with every tree made: what is cached about one
    # tree must not be taken for another of the same recipe.
    printf '%s %s\n' "$(recipe "$script")" "$(date +%s%N)" >"$dir.tmp/.stamp"
    rm -rf --one-file-system "$dir.old"
    if [ -e "$dir" ]; then
        # Package nixenv and nix.sh hold this lock while they use a Nix tree.
        if [ -e "$dir/nix/var/nestbox.lock" ]; then
            exec 8<>"$dir/nix/var/nestbox.lock"
            flock --wait 60 8 || die "$dir is in use; end what runs in it and try again"
        fi
        mv "$dir" "$dir.old"
    fi
    mv "$dir.tmp" "$dir"
    rm -rf --one-file-system "$dir.old"
    say "made $dir: $(du -sh "$dir" | cut -f1) in $((SECONDS - started)) s"
}
