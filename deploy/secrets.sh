#!/usr/bin/env bash
# Makes .env with random secrets for docker-compose.yml. Never overwrites one:
# another pepper would turn every raw API key into a new, unknown key id.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -e .env ]; then
    echo "deploy/secrets.sh: .env exists already, left as it is" >&2
    exit 1
fi

random() { head -c 32 /dev/urandom | base64 | tr -d '/+=\n'; }

umask 077
while IFS= read -r line; do
    case $line in
    [A-Z]*=) printf '%s%s\n' "$line" "$(random)" ;;
    *) printf '%s\n' "$line" ;;
    esac
done <.env.example >.env.new
mv .env.new .env
echo "deploy/secrets.sh: wrote .env"
