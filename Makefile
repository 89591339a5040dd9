# Nestbox. "make demo" and "make test" install what is missing (Debian: by apt;
# elsewhere they say what to install) and do everything.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

CACHE   := .cache
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -linkmode external -extldflags -static -X main.version=$(VERSION)
SOURCES := $(shell find . -path ./$(CACHE) -prune -o \( -name '*.go' -o -name '*.[ch]' -o -name '*.py' \) -print) go.mod go.sum

export CGO_ENABLED := 1

.PHONY: build
build: bin/nestbox ## the static binary, bin/nestbox

bin/nestbox: $(SOURCES) | deps-build
	go build -tags 'netgo osusergo' -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/nestbox
	ln -sf nestbox bin/nixos-test-driver

.PHONY: deps-build deps-test deps-lint
deps-build deps-test deps-lint: deps-%:
	@scripts/deps.sh $*

.PHONY: nix-root debian-guest
nix-root: | deps-test ## a root tree with a real Nix, for the tests
	@test/nix/make-root.sh $(CACHE)/nix-root
debian-guest: | deps-test ## the tree that test machines are made of
	@test/nix/make-debian.sh $(CACHE)/debian-guest

.PHONY: demo
demo: build nix-root debian-guest ## two containers on a VLAN in a real Nix build
	@scripts/demo.sh

.PHONY: test
test: build nix-root debian-guest lint ## all tests: unit, root and real-Nix ones
	@scripts/test.sh

.PHONY: unit
unit: | deps-build ## the tests that this machine can run as it is; others are skipped
	go test ./...

.PHONY: bench
bench: build nix-root debian-guest ## compare with systemd-nspawn and the floor
	bench/run.sh

.PHONY: lint
lint: nix-root | deps-lint ## gofmt, go vet, golangci-lint, shellcheck, nix-instantiate --parse
	@scripts/lint.sh

.PHONY: clean
clean: ## what was built; not the downloads
	rm -rf bin

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
