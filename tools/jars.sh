#!/usr/bin/env bash
# Puts the jars of tools/NAME/pom.xml into $KEYWATCH_CACHE/NAME/libs. Called by tools/NAME/install.sh:
#
#   tools/jars.sh NAME                      fetch them, unless they are there
#   tools/jars.sh NAME update-checksums     and write libs.sha256 anew (after a change of pom.xml)
#
# pom.xml pins the versions, libs.sha256 the bytes of every jar.
set -euo pipefail

name=$1
here=$(cd "$(dirname "$0")/$name" && pwd)
cache=${KEYWATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keywatch}
target=$cache/$name
readonly name here cache target

say() { printf "$name: %s\n" "$*"; }
fail() {
    printf "$name: %s\n" "$@" >&2
    exit 1
}

# What the installed jars were made from.
stamp() { cat "$here/pom.xml" "$here/libs.sha256" | sha256sum | cut -d ' ' -f 1; }

is_installed() { [ "$(cat "$target/stamp" 2>/dev/null)" = "$(stamp)" ]; }

download() {
    local into=$1
    command -v mvn >/dev/null ||
        fail "Maven is missing: apt-get install maven"
    say "fetching the jars from Maven Central"
    mvn --batch-mode --quiet --strict-checksums -Dstyle.color=never --file "$here/pom.xml" \
        dependency:copy-dependencies -DoutputDirectory="$into" </dev/null ||
        fail "Maven could not fetch the jars (see above): is Maven Central, or your mirror in" \
            "~/.m2/settings.xml, reachable? Then run this again"
}

verify() {
    local libs=$1
    (cd "$libs" && sha256sum --check --strict --quiet "$here/libs.sha256") ||
        fail "a jar is not the one that tools/$name/libs.sha256 names (see above): nothing was installed"
    diff <(cd "$libs" && ls) <(sed 's/^[0-9a-f]*  //' "$here/libs.sha256" | sort) >&2 ||
        fail "the jars are not those of tools/$name/libs.sha256 (see above): nothing was installed"
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
exec 9>"$cache/$name.lock"
flock 9

case ${2:-} in
"") if is_installed; then say "up to date in $target"; else install; fi ;;
update-checksums) install update-checksums ;;
*) fail "unknown argument '$2' (only update-checksums)" ;;
esac
