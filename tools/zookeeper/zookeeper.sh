#!/usr/bin/env bash
# A single Apache ZooKeeper on 127.0.0.1, in the foreground.
#
#   tools/zookeeper/zookeeper.sh DIR PORT
#
# DIR keeps the data; it is made when absent, and used again when not. Replaces itself with java, so
# that signals reach the server.
set -euo pipefail

dir=$1 port=$2
libs=${KEYWATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keywatch}/zookeeper/libs
mkdir -p "$dir"
cat >"$dir/zoo.cfg" <<PROPERTIES
tickTime=500
dataDir=$dir/data
clientPort=$port
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
PROPERTIES
exec java -Xmx256m -XX:+UseSerialGC -cp "$libs/*" \
    org.apache.zookeeper.server.ZooKeeperServerMain "$dir/zoo.cfg"
