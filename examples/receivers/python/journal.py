"""Remembers, across restarts, what was answered to which message and which keys are suspended.

A file of JSON, one object a line; lines are only added. Each line is on the disk before the step
that follows it: an intent before the store is asked, an answer before it is sent.
"""

import json
import os


class Journal:
    def __init__(self, path):
        self.answers = {}  # message id -> word
        self.begun = set()  # message ids whose work may have been done
        self.revoked = set()
        self.suspended = {}  # key -> end, in seconds since the epoch
        cut = 0
        if os.path.exists(path):
            with open(path, "rb") as file:
                for line in file:
                    # A process that was killed may leave half a line, which never took effect.
                    if not line.endswith(b"\n"):
                        break
                    self._apply(json.loads(line))
                    cut += len(line)
        self.file = open(path, "ab")
        self.file.truncate(cut)

    def add(self, **entry):
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self._apply(entry)

    def _apply(self, entry):
        key, word = entry.get("key"), entry.get("word")
        if entry.get("resumed"):
            self.suspended.pop(key, None)
            return
        self.begun.add(entry["id"])
        if entry.get("until") is not None:
            # Also of an intent: the store may have suspended the key before the process ended.
            self.suspended[key] = max(entry["until"], self.suspended.get(key, 0.0))
        if word is None:
            return
        self.answers[entry["id"]] = word
        if word == "revoked":
            self.revoked.add(key)
            self.suspended.pop(key, None)
