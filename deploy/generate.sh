#!/usr/bin/env bash
# Simulated traffic with attacks in it, live, into Kafka. Records are keyed by
# the API key: its requests must stay in order, so they share a partition.
set -euo pipefail

keywatch generate --live --keys "${KEYS:-200}" --hours 720 --seed "${SEED:-1}" --out - |
    sed --unbuffered --regexp-extended 's/^.*"key_id":"([^"]*)".*$/\1\t&/' |
    kcat -P -b "$BROKERS" -t "$TOPIC" -K '\t' -X linger.ms=50
