#!/usr/bin/env bash
# Puts the jars of Apache ZooKeeper into $KEYWATCH_CACHE/zookeeper/libs: see tools/jars.sh.
#
#   tools/zookeeper/install.sh [update-checksums]
set -euo pipefail
exec "$(dirname "$0")/../jars.sh" zookeeper "$@"
