#!/usr/bin/env bash
# deps.sh build|test|lint: installs what is missing to build, to run the tests
# too, or to run the linters too. Says nothing where nothing is missing.
#
# On Debian and its kin it installs packages by apt-get, as root. Elsewhere it
# says what to install. golangci-lint, a Go module, goes into .cache/bin.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

missing=()

# program NAME PACKAGE: PACKAGE is missing unless there is a program NAME.
program() {
    command -v "$1" >/dev/null || missing+=("$2")
}

# file PATH PACKAGE: PACKAGE is missing unless there is a file PATH.
file() {
    [ -e "$1" ] || missing+=("$2")
}

for_build() {
    program gcc gcc
    program make make
    # The binary is linked statically, so the C library must be there as an
    # archive. gcc prints the bare name of what it does not find.
    if command -v gcc >/dev/null; then
        file "$(gcc -print-file-name=libc.a)" libc6-dev
    else
        missing+=(libc6-dev)
    fi
}

for_test() {
    program python3 python3
    program ip iproute2
    program mount mount
    program unshare util-linux
    program findmnt util-linux
    program flock util-linux
    program mmdebstrap mmdebstrap
    file /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
}

for_lint() {
    program shellcheck shellcheck
}

# How to get the same on a system without apt. The pinned golangci-lint is
# compiled there too.
explain() {
    cat >&2 <<TEXT
deps.sh: missing: ${missing[*]}
  and there is no apt-get to install it with. With Nix:
    nix-shell -p go gcc glibc.static gnumake python3 iproute2 util-linux shellcheck mmdebstrap --run 'make build unit'
  The real-Nix tests and the demo make a Debian tree: they also want
  /usr/share/keyrings/debian-archive-keyring.gpg (package debian-archive-keyring).
TEXT
    exit 1
}

install_packages() {
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    command -v apt-get >/dev/null || explain
    [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}; install it as root: apt-get install ${missing[*]}"
    say "installing ${missing[*]}"
    local log=$cache/log/apt.log
    mkdir -p "$(dirname "$log")"
    export DEBIAN_FRONTEND=noninteractive
    # A machine's own package lists are often there and new enough, and taking
    # them anew takes longer than all the rest.
    if ! apt-get -q install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
        say "taking Debian's package lists anew"
        if ! {
            apt-get -q update &&
                apt-get -q install -y --no-install-recommends "${missing[@]}"
        } >>"$log" 2>&1; then
            tail -n 20 "$log" >&2
            die "apt-get could not install ${missing[*]}; all it said is in $log"
        fi
    fi
}

install_lint() {
    if [ -x "$lint" ] && "$lint" version >/dev/null 2>&1; then
        return
    fi
    say "compiling golangci-lint $lint_version (some minutes, once)"
    local started=$SECONDS log=$cache/log/golangci-lint.log dir
    mkdir -p "$cache/bin" "$(dirname "$log")"
    dir=$(mktemp -d "$cache/bin/.new-XXXXXX")
    # Alone in its folder, then renamed: half a program is never found. Flags
    # meant for this repository are not meant for it.
    if ! GOBIN=$dir GOFLAGS='' CGO_ENABLED=0 \
        go install -ldflags '-s -w' \
        "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$lint_version" >"$log" 2>&1; then
        rm -rf "$dir"
        tail -n 20 "$log" >&2
        die "go install of golangci-lint failed; all it said is in $log"
    fi
    mv "$dir/golangci-lint" "$lint"
    rmdir "$dir"
    say "compiled golangci-lint in $((SECONDS - started)) s"
}

command -v go >/dev/null || die "there is no go; install Go $(sed -n 's/^go //p' "$top/go.mod") or newer from https://go.dev/dl"
for_build
case ${1-} in
build) ;;
test) for_test ;;
lint)
    for_test
    for_lint
    ;;
*)
    echo "usage: deps.sh build|test|lint" >&2
    exit 2
    ;;
esac
[ ${#missing[@]} = 0 ] || install_packages
[ "$1" != lint ] || install_lint
