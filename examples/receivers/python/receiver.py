#!/usr/bin/env python3
"""Receives Keywatch's webhooks, and suspends or revokes keys in a key store. Standard library only.

    KEYWATCH_WEBHOOK_SECRET=whsec_... STORE_TOKEN=... \\
        python3 receiver.py --recipe ../recipes/unkey.json --journal /var/lib/keywatch-receiver.jsonl

README.md beside this folder says what it does and what it leaves to you.
"""

import argparse
import base64
import binascii
import datetime
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from journal import Journal
from recipe import Failed, Recipe, Unknown

TOLERANCE_SECONDS = 300
MOST_BYTES = 1 << 20
ACTIONS = {
    "key.revocation_requested": ("revoke", "revoked"),
    "key.suspension_requested": ("suspend", "suspended"),
}


def secrets_of(text):
    """Several secrets, separated by spaces, are accepted while they are changed."""
    secrets = [base64.b64decode(secret.removeprefix("whsec_"), validate=True)
               for secret in text.split()]
    if not secrets or min(map(len, secrets)) < 24:
        sys.exit("KEYWATCH_WEBHOOK_SECRET needs secrets of at least 24 bytes")
    return secrets


def is_signed(secrets, headers, body, now):
    """Whether Standard Webhooks would accept the message: by signature and by age."""
    message, stamp = headers.get("webhook-id"), headers.get("webhook-timestamp", "")
    if not message or not stamp.isascii() or not stamp.isdigit():
        return False
    if abs(now - int(stamp)) > TOLERANCE_SECONDS:
        return False
    text = f"{message}.{stamp}.".encode() + body
    expected = [hmac.new(secret, text, hashlib.sha256).digest() for secret in secrets]
    for signature in headers.get("webhook-signature", "").split(" "):
        version, _, value = signature.partition(",")
        try:
            given = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            continue
        # Each pair is compared, in constant time.
        if version == "v1" and any([hmac.compare_digest(given, it) for it in expected]):
            return True
    return False


def seconds(text):
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Receiver:
    def __init__(self, secrets, recipe, journal):
        self.secrets, self.recipe, self.journal = secrets, recipe, journal
        # One key at a time: two messages about one key never overtake each other.
        self.lock = threading.Lock()

    def handle(self, headers, body):
        """The status and the word of the answer."""
        if not is_signed(self.secrets, headers, body, time.time()):
            return 401, None
        try:
            alert = json.loads(body)
            action = ACTIONS.get(alert["type"])
        except (ValueError, KeyError, TypeError):
            return 400, None
        if action is None:
            return 204, None  # an alert, which asks for nothing
        with self.lock:
            try:
                return 200, self._answer(headers["webhook-id"], alert, *action)
            except Failed as error:
                log(f"{alert.get('id')}: {error}")
                return 502, None  # Keywatch sends it again, under the same id

    def _answer(self, message, alert, action, word):
        known = self.journal.answers.get(message)
        if known is not None:
            return known
        key, until = alert.get("key_id"), None
        # A path may not lead out of the folder of keys.
        is_usable = isinstance(key, str) and key.strip(".") != ""
        if not is_usable or alert.get("dry_run") is not False or not self.recipe.can(action):
            return self._record(message, key, "refused")
        was_begun = message in self.journal.begun
        # What was begun may be done: the store is asked again, so that the answer is true.
        is_late = alert.get("deadline") and seconds(alert["deadline"]) < time.time()
        if is_late and not was_begun:
            return self._record(message, key, "refused")
        if action == "suspend":
            if key in self.journal.revoked:
                return self._record(message, key, "revoked")
            until = seconds(alert["suspend_until"]) if alert.get("suspend_until") else None
        was_begun = was_begun or key in self.journal.revoked
        self.journal.add(id=message, key=key, until=until)
        try:
            self.recipe.run(action, key)
        except Unknown:
            # An earlier attempt, whose answer was lost, may have deleted the key.
            word = word if was_begun and action == "revoke" else "unknown_key"
        return self._record(message, key, word)

    def _record(self, message, key, word):
        self.journal.add(id=message, key=key, word=word)
        log(f"{message}: key {key!r} {word}")
        return word

    def lift(self):
        """Resumes the keys whose suspension has ended. A revoked key is not among them."""
        with self.lock:
            ended = [key for key, end in self.journal.suspended.items() if end <= time.time()]
            for key in ended:
                try:
                    self.recipe.run("resume", key)
                except Unknown:
                    pass
                except Failed as error:
                    log(f"key {key!r} stays suspended for now: {error}")
                    continue
                self.journal.add(key=key, resumed=True)
                log(f"key {key!r} resumed")


def handler(receiver):
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self):
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > MOST_BYTES:
                return self._send(413, None)
            self._send(*receiver.handle(self.headers, self.rfile.read(int(length))))

        def _send(self, status, word):
            body = json.dumps({"status": word}).encode() if word else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def log(text):
    print(text, file=sys.stderr, flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--recipe", required=True)
    arguments.add_argument("--journal", required=True)
    arguments.add_argument("--listen", default="127.0.0.1:8090")
    arguments.add_argument("--store", default="", help="the address of the key store")
    arguments.add_argument("--lift-every", type=float, default=5.0, help="seconds")
    given = arguments.parse_args()
    secrets = secrets_of(os.environ["KEYWATCH_WEBHOOK_SECRET"])
    recipe = Recipe(given.recipe, given.store, os.environ.get("STORE_TOKEN", ""))
    receiver = Receiver(secrets, recipe, Journal(given.journal))
    host, _, port = given.listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), handler(receiver))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log(f"listening on {host}:{server.server_address[1]}")
    while True:
        time.sleep(given.lift_every)
        receiver.lift()


if __name__ == "__main__":
    main()
