#!/usr/bin/env bash
# run.sh [--runs N] [--quick] [--only NAMES] [--json FILE]: measures bin/nestbox
# beside its peer and the floor, see README.md. Needs `make build nix-root
# debian-guest`, root, and, for figures that mean something, an idle machine.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
floor=.cache/bench/floor
mkdir -p "$floor/bin"
# Linked as bin/nestbox is.
CGO_ENABLED=1 go build -tags 'netgo osusergo' -trimpath \
    -ldflags '-s -w -linkmode external -extldflags -static' -o "$floor/bin/floor" ./bench/floor
go build -o .cache/bench/bench ./bench
exec .cache/bench/bench --floor "$floor" "$@"
