#!/usr/bin/env bash
# Puts the jars of Apache Kafka into $KEYWATCH_CACHE/kafka/libs: see tools/jars.sh.
#
#   tools/kafka/install.sh [update-checksums]
set -euo pipefail
exec "$(dirname "$0")/../jars.sh" kafka "$@"
