#!/usr/bin/env python3
"""What Keywatch costs, beside ClickHouse's own reader of the same topic.

    make bench                                   # builds the release binary first
    tools/bench.py --keywatch target/release/keywatch --events 500000 --keys 50000 --json

It generates traffic, and measures, with the location databases loaded:
  decode to decide   `keywatch backtest` of a file, for each number of keys (--backtest)
  (a) clickhouse     ClickHouse's Kafka engine into one plain MergeTree: no views, no scoring
  (b) keywatch       `keywatch run` with everything on, from the same topic into ClickHouse
Broker and ClickHouse are real, start on free ports, and end with this program. A rate is
events by wall time, so that other work on the machine lowers it: (a) from the view that
begins to read to the last row, (b) from the first intent to the last batch in the ledger.
Processor time is of the process alone, (b) with its start. Compare rates of one run only.
"""

import argparse
import ctypes
import datetime
import glob
import hashlib
import json
import os
import pathlib
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TOOLS = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("KEYWATCH_CACHE")
                     or pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "keywatch")
LIBRARY = os.environ.get("KEYWATCH_LIBCHDB", CACHE / "node/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")
GEO = CACHE / "node/node_modules/@ip-location-db"
CITIES = [GEO / f"dbip-city-mmdb/dbip-city-ipv{n}.mmdb" for n in (4, 6)]
NETWORKS = [GEO / f"asn/asn-ipv{n}.csv" for n in (4, 6)]
TOPIC, USER, LIMIT_SECONDS = "bench", "keywatch", 900
TICKS = os.sysconf("SC_CLK_TCK")

# The columns of access_events that the log has, by the names of the log.
COLUMNS = """time DateTime64(6, 'UTC') CODEC(Delta, LZ4), key_id String CODEC(ZSTD(1)),
    client_ip String CODEC(ZSTD(1)), method LowCardinality(String), path String CODEC(ZSTD(1)),
    status UInt16 CODEC(ZSTD(1)), request_id String CODEC(ZSTD(1)), latency_ms Nullable(Float32),
    bytes_in Nullable(UInt64) CODEC(T64, LZ4), bytes_out Nullable(UInt64) CODEC(T64, LZ4),
    user_agent String CODEC(ZSTD(1)), environment LowCardinality(String), scope LowCardinality(String),
    tenant LowCardinality(String), nonce String, client_time String, signature String,
    client_fingerprint String, auth_method LowCardinality(String)"""


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(*sys.argv[2:])
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="keywatch-bench-"))
    try:
        result = measure(arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=2) if arguments.json else table(result))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keywatch", required=True, metavar="BIN", help="the binary to measure")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of each log (default: 1000000)")
    parser.add_argument("--keys", type=int, default=50_000, help="keys of (a) and (b) (default: 50000)")
    parser.add_argument("--backtest", type=int, nargs="*", default=[400, 65_000], metavar="KEYS",
                        help="numbers of keys of `decode to decide` (default: 400 65000; none leaves it out)")
    parser.add_argument("--partitions", type=int, default=4, help="partitions of the topic (default: 4)")
    parser.add_argument("--no-pipeline", action="store_true", help="leave (a) and (b) out")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args()


def measure(arguments, folder):
    missing = [path for path in CITIES + NETWORKS if not path.exists()]
    if missing:
        sys.exit(f"{missing[0]} is missing: run tools/setup")
    result = {"events": arguments.events, "partitions": arguments.partitions, "backtest": []}
    for keys in arguments.backtest:
        log = generate(arguments, folder, keys)
        result["backtest"].append(backtest(arguments.keywatch, log, keys))
        log.unlink()
    if not arguments.no_pipeline:
        result |= pipeline(arguments, folder)
    return result


def generate(arguments, folder, keys):
    log = folder / f"{keys}.jsonl"
    rate = 0.1 * keys
    hours = 1.5 * arguments.events / rate / 3600
    # Ends an hour ago: the tables drop the rows of a date long past, and events to come are not judged.
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours + 1)
    say(f"generating {arguments.events} events of {keys} keys")
    subprocess.run([arguments.keywatch, "generate", "--keys", str(keys), "--rate", str(rate),
                    "--hours", str(hours), "--start", start.strftime("%Y-%m-%dT%H:%M:%SZ"), "--seed", "5",
                    "--attacks", "none", "--out", log], check=True, stderr=subprocess.DEVNULL)
    with open(log, "rb+") as file:
        count = sum(1 for _ in zip(range(arguments.events), iter(file.readline, b"")))
        file.truncate()
    if count < arguments.events:
        sys.exit(f"only {count} events were generated: ask for more keys or fewer events")
    return log


def backtest(keywatch, log, keys):
    say(f"backtest of {keys} keys")
    process = subprocess.Popen([keywatch, "backtest", "--input", log, "--alerts", os.devnull,
                                "--geo-city", *CITIES, "--geo-asn", *NETWORKS], stderr=subprocess.PIPE, text=True)
    seconds = events = 0.0
    for line in process.stderr:
        words = line.split()
        if "events/s);" in words:
            events, seconds = float(words[0]), float(words[words.index("in") + 1])
    _, status, usage = os.wait4(process.pid, 0)
    if status or not events:
        sys.exit("keywatch backtest failed")
    cpu = usage.ru_utime + usage.ru_stime
    return {"keys": keys, "events_per_second": events / max(seconds, 1e-9),
            "cpu_microseconds": 1e6 * cpu / events, "peak_megabytes": usage.ru_maxrss / 1024}


def pipeline(arguments, folder):
    log = generate(arguments, folder, arguments.keys)
    with Processes() as processes:
        broker = start_broker(processes, folder)
        clickhouse = ClickHouse(processes, folder)
        produce(broker, log, arguments.partitions)
        log.unlink()
        baseline = read_by_clickhouse(clickhouse, broker, arguments.events)
        keywatch = read_by_keywatch(arguments, processes, folder, clickhouse, broker)
    ratio = keywatch["events_per_second"] / baseline["events_per_second"]
    return {"keys": arguments.keys, "clickhouse": baseline, "keywatch": keywatch, "ratio": ratio}


def read_by_clickhouse(clickhouse, broker, events):
    say("(a) ClickHouse's Kafka engine into a plain MergeTree")
    clickhouse.ask("CREATE DATABASE baseline")
    clickhouse.ask(f"CREATE TABLE baseline.stored ({COLUMNS}) ENGINE = MergeTree ORDER BY (key_id, time)")
    # Codecs are of tables that store.
    columns = ", ".join(line.split(" CODEC")[0] for line in split_columns())
    clickhouse.ask(
        f"CREATE TABLE baseline.topic ({columns}) ENGINE = Kafka SETTINGS kafka_broker_list = '127.0.0.1:{broker}',"
        f" kafka_topic_list = '{TOPIC}', kafka_group_name = 'baseline', kafka_format = 'JSONEachRow',"
        " kafka_num_consumers = 2, kafka_thread_per_consumer = 1, kafka_max_block_size = 65536,"
        " date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1")
    before, begin = clickhouse.cpu(), time.monotonic()
    clickhouse.ask("CREATE MATERIALIZED VIEW baseline.reader TO baseline.stored AS SELECT * FROM baseline.topic")
    wait_for("the baseline", lambda: clickhouse.number("SELECT count() FROM baseline.stored") >= events)
    seconds, cpu = time.monotonic() - begin, clickhouse.cpu() - before
    clickhouse.ask("DROP DATABASE baseline SYNC")
    return {"events_per_second": events / seconds, "clickhouse_cpu_microseconds": 1e6 * cpu / events}


def split_columns():
    parts, depth = [""], 0
    for letter in " ".join(COLUMNS.split()):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def read_by_keywatch(arguments, processes, folder, clickhouse, broker):
    say("(b) keywatch run")
    quoted = lambda paths: json.dumps([str(path) for path in paths])
    config = folder / "keywatch.toml"
    config.write_text(f"""
[source]
kind = "kafka"
[source.kafka]
brokers = "127.0.0.1:{broker}"
topics = ["{TOPIC}"]
[decode]
pepper = "a pepper for the bench alone"
[enrich]
city_databases = {quoted(CITIES)}
asn_databases = {quoted(NETWORKS)}
[clickhouse]
url = "http://127.0.0.1:{clickhouse.port}"
user = "{USER}"
password = "{clickhouse.password}"
[service]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[monitor]
on_broken_promise = "ignore"
""")
    before, done = clickhouse.cpu(), "SELECT {} FROM keywatch.ingest_batches WHERE state = 'done'"
    process = processes.start([arguments.keywatch, "run", "-c", config], folder / "keywatch.log")
    # Not the rows: records that are sent again are not stored again.
    wait_for("keywatch", lambda: clickhouse.number(done.format("sum(last_offset - first_offset + 1)"))
             >= arguments.events, process, folder / "keywatch.log")
    cpu, cpu_clickhouse = cpu_seconds(process.pid), clickhouse.cpu() - before
    seconds = clickhouse.number("SELECT toUnixTimestamp64Micro(maxIf(time, state = 'done')) / 1e6"
                                " - toUnixTimestamp64Micro(min(time)) / 1e6 FROM keywatch.ingest_batches")
    tables = ["access_events", "source_attempts", "alerts", "ingest_batches"]
    return {"events_per_second": arguments.events / seconds, "cpu_microseconds": 1e6 * cpu / arguments.events,
            "clickhouse_cpu_microseconds": 1e6 * cpu_clickhouse / arguments.events,
            "peak_megabytes": peak_megabytes(process.pid),
            "rows": {name: clickhouse.number(f"SELECT count() FROM keywatch.{name}") for name in tables}}


class Processes:
    """Children, which end in the reverse order."""

    def __enter__(self):
        self.started = []
        return self

    def start(self, command, log, **options):
        # The kernel ends them when this process dies.
        end_with_parent = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        with open(log, "wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       preexec_fn=end_with_parent, **options)
        self.started.append(process)
        return process

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.kill()
            process.wait()


def start_broker(processes, folder):
    port, controller = free_ports(2)
    log = folder / "broker.log"
    process = processes.start([TOOLS / "kafka/kafka.sh", "start", "--dir", folder / "kafka", "--port", str(port),
                               "--controller-port", str(controller)], log)
    wait_for("Kafka", lambda: b"Kafka Server started" in log.read_bytes() or answers(port), process, log)
    return port


def kafka_tool(name, *arguments, **options):
    command = ["java", "-Xmx512m", "-cp", f"{CACHE}/kafka/libs/*", f"org.apache.kafka.tools.{name}", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)


def produce(broker, log, partitions):
    say("producing, keyed by key id")
    server = ["--bootstrap-server", f"127.0.0.1:{broker}"]
    kafka_tool("TopicCommand", *server, "--create", "--topic", TOPIC, "--partitions", str(partitions))
    keyed = log.with_suffix(".keyed")
    with open(log) as lines, open(keyed, "w") as out:
        for line in lines:
            out.write(f"{json.loads(line)['key_id']}\t{line}")
    with open(keyed, "rb") as records:
        kafka_tool("ConsoleProducer", *server, "--topic", TOPIC, "--property", "parse.key=true",
                   "--max-partition-memory-bytes", "262144", "--timeout", "20", stdin=records)
    keyed.unlink()


class ClickHouse:
    """The engine of `keywatch clickhouse` with a user who may also read a topic."""

    def __init__(self, processes, folder):
        [self.port], self.password = free_ports(1), secrets.token_hex(24)
        log, data = folder / "clickhouse.log", folder / "clickhouse"
        data.mkdir()
        config = write_clickhouse_config(folder, self.password)
        self.process = processes.start(
            [sys.executable, __file__, "--serve", str(LIBRARY), str(data), str(self.port), config], log)
        wait_for("ClickHouse", lambda: answers(self.port) and self.number("SELECT 1") == 1, self.process, log)

    def ask(self, query):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", query.encode(), {
            "X-ClickHouse-User": USER, "X-ClickHouse-Key": self.password})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def number(self, query):
        """The answer, or 0 while there is no such table."""
        try:
            return float(self.ask(query))
        except RuntimeError as error:
            if "UNKNOWN_TABLE" in str(error) or "UNKNOWN_DATABASE" in str(error):
                return 0.0
            raise

    def cpu(self):
        return cpu_seconds(self.process.pid)


def write_clickhouse_config(folder, password):
    users, config = folder / "users.xml", folder / "config.xml"
    hashed = hashlib.sha256(password.encode()).hexdigest()
    rights = "SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, SHOW, KILL QUERY, KAFKA, TABLE ENGINE"
    users.write_text(f"""<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>
<default><password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
<{USER}><password_sha256_hex>{hashed}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>
<profile>default</profile><quota>default</quota><grants><query>GRANT {rights} ON *.*</query></grants></{USER}>
</users></clickhouse>""")
    config.write_text(f"""<clickhouse><users_config>{users}</users_config><http_handlers><rule>
<headers><X-ClickHouse-User>{USER}</X-ClickHouse-User></headers>
<handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
</rule></http_handlers></clickhouse>""")
    os.chmod(users, 0o600)
    return str(config)


def serve(library, data, port, config):
    """Runs ClickHouse in this process until it is killed."""
    # The last query waits for the end of a pipe that is never closed.
    query = f"SYSTEM START LISTEN HTTP; SELECT count() FROM file('/proc/self/fd/{os.pipe()[0]}'," \
            " 'LineAsString', 'line String') FORMAT Null"
    words = ["clickhouse", f"--config-file={config}", f"--path={data}", f"--http_port={port}",
             "--listen_host=127.0.0.1", f"--query={query}"]
    pointers = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
    ctypes.CDLL(library).chdb_query_cmdline(len(words), pointers)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return ports


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_for(name, is_there, process=None, log=None):
    end = time.monotonic() + LIMIT_SECONDS
    while not is_there():
        is_dead = process is not None and process.poll() is not None
        if is_dead or time.monotonic() > end:
            output = log.read_text(errors="replace")[-2000:] if log else ""
            sys.exit(f"{name} {'ended' if is_dead else 'took too long'}\n{output}")
        time.sleep(0.1)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_megabytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def table(result):
    lines = [f"{'':46} {'events/s':>10} {'us/event':>9} {'ClickHouse':>11} {'peak MB':>8}"]
    row = lambda name, it: lines.append(" ".join([
        f"{name:46}", f"{it['events_per_second']:10,.0f}", f"{it.get('cpu_microseconds', 0):9.2f}",
        f"{it.get('clickhouse_cpu_microseconds', 0):11.2f}", f"{it.get('peak_megabytes', 0):8,.0f}"]))
    for it in result["backtest"]:
        row(f"decode to decide, {it['keys']:,} keys", it)
    if "ratio" in result:
        row(f"(a) Kafka engine, {result['keys']:,} keys", result["clickhouse"])
        row(f"(b) keywatch run, {result['keys']:,} keys", result["keywatch"])
        lines.append(f"ratio of (b) to (a): {result['ratio']:.2f}")
        lines.append("rows of (b): " + ", ".join(f"{n:.0f} {name}" for name, n in result["keywatch"]["rows"].items()))
    return "\n".join(lines)


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
