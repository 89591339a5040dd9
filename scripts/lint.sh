#!/usr/bin/env bash
# lint.sh: every check that runs no test: gofmt, go vet, golangci-lint (see
# .golangci.yml), shellcheck, Nix's parser and Python's compiler. All of them
# run, whatever the others find; what they find is printed, and nothing else.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
cd "$top"

failed=()

# check NAME COMMAND...: runs COMMAND and notes whether it failed.
check() {
    local name=$1 started=$SECONDS
    shift
    if "$@"; then
        say "$name: ok ($((SECONDS - started)) s)"
    else
        say "$name: FAILED" >&2
        failed+=("$name")
    fi
}

# files PATTERN...: the repository's files, those that are not committed yet
# too, but none that git ignores or that are gone.
files() {
    git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while IFS= read -r name; do
        [ ! -f "$name" ] || printf '%s\n' "$name"
    done
}

run_gofmt() {
    local names found
    mapfile -t names < <(files '*.go')
    found=$(gofmt -l "${names[@]}")
    [ -z "$found" ] || {
        printf 'gofmt -w would change:\n%s\n' "$found"
        return 1
    }
}

run_golangci() {
    [ -x "$lint" ] || die "there is no $lint; scripts/deps.sh lint makes it"
    # Beside what it finds it would print how it runs.
    GOLANGCI_LINT_CACHE=$cache/golangci-lint "$lint" run --show-stats=false ./...
}

# A guest's init and its parts have no name that ends in .sh, but say what they
# are in their first line.
run_shellcheck() {
    local names
    mapfile -t names < <(
        files '*.sh' .ci/run
        files 'test/guest/stage-2/*' | while IFS= read -r name; do
            case $name:$(head -n 1 "$name") in
            *.sh:*) ;;
            *:'#!'*sh | *:'# shellcheck shell='*) printf '%s\n' "$name" ;;
            esac
        done
    )
    shellcheck --external-sources --source-path=SCRIPTDIR "${names[@]}"
}

# A parser reads the files in the Nix tree, where this repository is below
# /host; a store it needs not.
run_nix() {
    local names root=$cache/nix-root
    [ -x "$root/usr/bin/nix-instantiate" ] || die "there is no Nix in $root; make nix-root makes it"
    mapfile -t names < <(files '*.nix')
    # Its output is the syntax tree.
    test/nix/enter.sh "$root" --rw-bind "$top" /host -- \
        nix-instantiate --store dummy:// --parse "${names[@]/#//host/}" >/dev/null
}

# Without writing byte code beside the files.
run_python() {
    local names
    mapfile -t names < <(files '*.py')
    python3 - "${names[@]}" <<'PYTHON'
import ast
import sys

failed = False
for name in sys.argv[1:]:
    try:
        with open(name, "rb") as file:
            text = file.read()
        # 3.9 is the oldest Python that the driver promises to work with.
        ast.parse(text, name, feature_version=(3, 9))
        compile(text, name, "exec")
    except SyntaxError as e:
        failed = True
        print(f"{e.filename}:{e.lineno}: {e.msg}")
sys.exit(failed)
PYTHON
}

check gofmt run_gofmt
check "go vet" go vet ./...
check golangci-lint run_golangci
check shellcheck run_shellcheck
check "nix-instantiate --parse" run_nix
check python run_python
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
