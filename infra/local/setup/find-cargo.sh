#!/usr/bin/env bash
# Prints the path of a cargo that can build the feature engine (native/): recent enough, with the
# compiler rustc beside it. Debian 12 has one in the packages cargo-web and rustc-web.
# $CARGO, if set, is the only candidate.
set -euo pipefail

# As `rust-version` in native/Cargo.toml.
RUST_MINOR_MIN=85

if [ -n "${CARGO:-}" ]; then
    candidates=("$CARGO")
else
    candidates=(cargo /usr/bin/cargo)
fi

minor_version() {
    local version
    version=$("$1" --version 2>/dev/null) || return 1
    [[ $version =~ ^[a-z]+\ 1\.([0-9]+)\. ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

reasons=()
for candidate in "${candidates[@]}"; do
    if ! path=$(command -v "$candidate"); then
        reasons+=("  $candidate: not found")
    elif ! minor=$(minor_version "$path") || ! minor_version "${path%/*}/rustc" >/dev/null; then
        reasons+=("  $path: does not run, or has no rustc beside it")
    elif [ "$minor" -lt "$RUST_MINOR_MIN" ]; then
        reasons+=("  $path: is Rust 1.$minor, 1.$RUST_MINOR_MIN or newer is needed")
    else
        printf '%s\n' "$path"
        exit 0
    fi
done

{
    echo "No usable cargo found:"
    printf '%s\n' "${reasons[@]}"
    echo "Set CARGO=/path/to/cargo, or install the Debian packages cargo-web rustc-web."
} >&2
exit 1
