# shellcheck shell=bash
# Sourced by the scripts beside it.

# shellcheck disable=SC2034 # used by those that source this
top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
cache=$top/.cache

# Compiled from its source, a Go module, as there is no other trusted way to get
# it on every machine. Pinned: a newer one finds newer things.
lint_version=v2.15.0
lint=$cache/bin/golangci-lint-$lint_version

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }

die() {
    say "$*" >&2
    exit 1
}
