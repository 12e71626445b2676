#!/usr/bin/env bash
# Installs what is not in the registries for Python and Java: a JDK, Maven, the Redis binary, Python
# 3.11 with its shared library, and a Rust compiler with a linker. Where it cannot install, it says
# what is missing.
#
#   system-packages.sh        what `make setup` needs
#   system-packages.sh lint   what the checks of the Rust sources need on top: rustfmt and clippy
#   system-packages.sh postgres   what `make up WITH=postgres` needs on top: PostgreSQL
#
# Redis comes from the package redis-tools, which has the binary of the server but no service, so
# nothing is started now or at the next boot (`redis-server` is a link to that binary, see
# link_redis).
set -euo pipefail
cd "$(dirname "$0")/../../.."

JAVA_VERSION_MIN=17

main() {
    [ "$(uname -s)" = Linux ] || refuse_system
    local missing=()
    java_is_recent || missing+=(default-jdk-headless)
    command -v mvn >/dev/null || missing+=(maven)
    { redis_binary >/dev/null; } || missing+=(redis-tools)
    python_is_usable || missing+=(python3.11 libpython3.11 python3.11-venv)
    cargo_is_usable || missing+=(cargo-web rustc-web)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    if [ ${#missing[@]} -gt 0 ]; then
        install "${missing[@]}"
        java_is_recent || die "the JDK found is older than Java $JAVA_VERSION_MIN; set JAVA_HOME to a newer one"
    fi
    link_redis
    [ "${1:-}" != lint ] || install_rust_checks
    [ "${1:-}" != postgres ] || install_postgres
}

java_is_recent() {
    local javac=${JAVA_HOME:+$JAVA_HOME/bin/}javac version
    version=$("$javac" -version 2>&1 | sed -nE 's/^javac ([0-9]+).*/\1/p') || return 1
    [ -n "$version" ] && [ "$version" -ge "$JAVA_VERSION_MIN" ]
}

redis_binary() {
    command -v redis-server || command -v redis-check-rdb
}

python_is_usable() {
    local python
    python=$(infra/local/setup/find-python.sh 2>/dev/null) || return 1
    # ensurepip is needed only to create `.tools`.
    [ -x .tools/bin/uv ] || "$python" -c 'import ensurepip' 2>/dev/null
}

cargo_is_usable() {
    infra/local/setup/find-cargo.sh >/dev/null 2>&1
}

# Both come with rustup's cargo; Debian's cargo has them in packages of their own.
install_rust_checks() {
    local cargo missing=()
    cargo=$(infra/local/setup/find-cargo.sh)
    "$cargo" fmt --version >/dev/null 2>&1 || missing+=(rustfmt-web)
    "$cargo" clippy --version >/dev/null 2>&1 || missing+=(rust-web-clippy)
    [ ${#missing[@]} -eq 0 ] || install "${missing[@]}"
}

# Debian's package would make a cluster on port 5432 and start it, now and at each boot.
install_postgres() {
    local binary
    for binary in /usr/lib/postgresql/*/bin/postgres $(command -v postgres); do
        [ -x "$binary" ] && return
    done
    install postgresql-common
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    echo 'create_main_cluster = false' |
        "${root[@]}" tee -a /etc/postgresql-common/createcluster.conf >/dev/null
    install postgresql-15
}

# Redis has one binary, which is the server if it is called redis-server.
link_redis() {
    command -v redis-server >/dev/null && return
    mkdir -p .tools/bin
    ln -sf "$(command -v redis-check-rdb)" .tools/bin/redis-server
}

install() {
    command -v apt-get >/dev/null || die "missing: $*. There is no apt-get here; install these (Debian's names) yourself."
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "missing: $*. Run as root: apt-get install $*"
        root=(sudo)
    fi
    echo "installing Debian packages: $*"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
        die "apt-get could not install: $*. Weir needs Debian 12 (bookworm) or a system with Python 3.11."
}

refuse_system() {
    cat >&2 <<'TEXT'
Weir's local stack runs on Linux; on this system run it in a container with Debian 12:

    docker run --rm -it --volume "$PWD:/weir" --workdir /weir --network host debian:12 \
        bash -c 'apt-get update && apt-get install -y git make && make demo'

Give the container 6 GiB of memory or more. The environments it makes in the checkout
(.venv, .venv-streams, .tools, .cache) are for the container only.
TEXT
    exit 1
}

die() {
    echo "setup: $*" >&2
    exit 1
}

main "$@"
