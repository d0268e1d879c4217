#!/usr/bin/env bash
# A single Apache Kafka broker (KRaft) on 127.0.0.1, in the foreground.
#
#   tools/kafka/kafka.sh start --dir DIR --port PORT [--controller-port PORT] [--host NAME]
#
# DIR keeps the data; it is made when absent, and used again when not. The
# controller listens on PORT + 1 unless told otherwise. Clients are told to connect to
# NAME (127.0.0.1). Stop it with Ctrl-C.
# Replaces itself with java, so that signals reach the broker.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
libs=${KEYWATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keywatch}/kafka/libs
readonly here libs java_minimum=17

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
fail() {
    printf 'kafka.sh: %s\n' "$@" >&2
    exit 1
}

check_requirements() {
    command -v java >/dev/null ||
        fail "Java $java_minimum or newer is missing: apt-get install default-jre-headless"
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge "$java_minimum" ] ||
        fail "Java is ${version:-of an unknown version}, at least $java_minimum is needed: apt-get install default-jre-headless"
    [ -d "$libs" ] || fail "Kafka is not in $libs: run tools/kafka/install.sh first"
}

# One broker: every topic has one replica, and the groups need not wait for more members.
write_properties() {
    cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://$host:$port
controller.listener.names=CONTROLLER
log.dirs=$dir/data
num.partitions=3
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=33554432
replica.fetch.max.bytes=33554432
PROPERTIES
}

new_cluster_id() { head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22; }

start() {
    check_requirements
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    local properties=$dir/server.properties
    write_properties >"$properties"
    local java=(java -Xmx512m -XX:+UseSerialGC "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$libs/*")
    if [ ! -f "$dir/data/meta.properties" ]; then
        # With `=`: one identifier in 64 begins with a dash.
        "${java[@]}" kafka.tools.StorageTool format "--cluster-id=$(new_cluster_id)" --config "$properties" >/dev/null ||
            fail "the data directory $dir/data could not be formatted (see above)"
    fi
    exec "${java[@]}" kafka.Kafka "$properties"
}

[ $# -gt 0 ] || {
    usage
    exit 2
}
[ "$1" = start ] || fail "unknown command '$1' (only start)"
shift
dir="" port="" controller_port="" host=127.0.0.1
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
    --dir) dir=$2 ;;
    --port) port=$2 ;;
    --controller-port) controller_port=$2 ;;
    --host) host=$2 ;;
    *) fail "unknown option '$1' (--dir, --port, --controller-port, --host)" ;;
    esac
    shift 2
done
[ -n "$dir" ] || fail "--dir DIR is missing: where the broker keeps its data"
case $port in
"" | *[!0-9]*) fail "--port PORT is missing or not a number" ;;
esac
controller_port=${controller_port:-$((port + 1))}
start
