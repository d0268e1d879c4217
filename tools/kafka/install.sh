#!/usr/bin/env bash
# Puts the jars of Apache Kafka into $KEYWATCH_CACHE/kafka/libs.
#
#   tools/kafka/install.sh                      fetch them, unless they are there
#   tools/kafka/install.sh update-checksums     and write libs.sha256 anew (after a change of pom.xml)
#
# pom.xml pins the versions, libs.sha256 the bytes of every jar.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${KEYWATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keywatch}
target=$cache/kafka
readonly here cache target

say() { printf 'kafka: %s\n' "$*"; }
fail() {
    printf 'kafka: %s\n' "$@" >&2
    exit 1
}

# What the installed jars were made from.
stamp() { cat "$here/pom.xml" "$here/libs.sha256" | sha256sum | cut -d ' ' -f 1; }

is_installed() { [ "$(cat "$target/stamp" 2>/dev/null)" = "$(stamp)" ]; }

download() {
    local into=$1
    command -v mvn >/dev/null ||
        fail "Maven is missing: apt-get install maven"
    say "fetching Apache Kafka (93 jars, 54 MB) from Maven Central"
    mvn --batch-mode --quiet --strict-checksums -Dstyle.color=never --file "$here/pom.xml" \
        dependency:copy-dependencies -DoutputDirectory="$into" </dev/null ||
        fail "Maven could not fetch the jars (see above): is Maven Central, or your mirror in" \
            "~/.m2/settings.xml, reachable? Then run this again"
}

verify() {
    local libs=$1
    (cd "$libs" && sha256sum --check --strict --quiet "$here/libs.sha256") ||
        fail "a jar is not the one that tools/kafka/libs.sha256 names (see above): nothing was installed"
    diff <(cd "$libs" && ls) <(sed 's/^[0-9a-f]*  //' "$here/libs.sha256" | sort) >&2 ||
        fail "the jars are not those of tools/kafka/libs.sha256 (see above): nothing was installed"
}

# Filled beside and moved into place whole, so that an interrupted run leaves nothing half done.
install() {
    local staging=$target.new
    rm -rf "$staging"
    mkdir -p "$staging"
    download "$staging/libs"
    if [ "${1:-}" = update-checksums ]; then
        (cd "$staging/libs" && sha256sum -- *.jar) >"$here/libs.sha256"
    fi
    verify "$staging/libs"
    stamp >"$staging/stamp"
    rm -rf "$target"
    mv "$staging" "$target"
    say "installed in $target"
}

export LC_ALL=C
mkdir -p "$cache"
# Two runs at once would move each other's files.
exec 9>"$cache/kafka.lock"
flock 9

case ${1:-} in
"") if is_installed; then say "up to date in $target"; else install; fi ;;
update-checksums) install update-checksums ;;
*) fail "unknown argument '$1' (only update-checksums)" ;;
esac
