# Tools from crates.io, pinned, in $KEYWATCH_CACHE/tools. Other scripts source this file.

tools=${KEYWATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keywatch}/tools

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }

# Builds version $2 of $1 unless it is there.
need() {
    if cargo install --list --root "$tools" 2>/dev/null | grep -F "$1 v$2:" >/dev/null; then
        return
    fi
    say "building $1 $2 (once, some minutes)"
    CARGO_TARGET_DIR=$tools/target cargo install --quiet --locked --root "$tools" --version "$2" "$1"
    rm -rf "$tools/target"
}
