#!/usr/bin/env python3
"""What a backtest found, for each kind of attack and each character.

    keywatch generate ... --out log.jsonl --labels labels.jsonl --cast cast.jsonl
    keywatch backtest --input log.jsonl ... --alerts alerts.jsonl
    tools/evaluate.py labels.jsonl cast.jsonl alerts.jsonl

An attack is found when an alert of the wanted severity about it names one of its
detectors between its start and an hour after its end. An incident is false when no
attack explains it: it is not about an attacked key, or not during the attack. Keys to
which something ordinary happens are counted as their character with that confuser.
"""

import argparse
import collections
import datetime
import json
import statistics
import sys

SEVERITIES = ["low", "medium", "high", "critical"]
ACTIONS = ["observe", "notify", "throttle", "suspend", "revoke"]
BEFORE_SECONDS = 5.0
SHORT_AFTERMATH_SECONDS = 120.0
NOBODY = "(no key: source, fleet, monitor)"


def main():
    arguments = parse_arguments()
    labels = [Label(row) for row in read(arguments.labels)]
    cast = {row["key_id"]: row for row in read(arguments.cast)}
    alerts = [alert for alert in map(Alert, read(arguments.alerts)) if alert.is_news]
    Evaluation(labels, cast, alerts, arguments).print()


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels")
    parser.add_argument("cast")
    parser.add_argument("alerts")
    parser.add_argument("--severity", choices=SEVERITIES, default="medium",
                        help="alerts below it do not count (default: medium)")
    parser.add_argument("--aftermath", type=float, default=3600.0, metavar="SECONDS",
                        help="an attack is still being answered for so long (default: 3600)")
    parser.add_argument("--show", type=int, default=0, metavar="N",
                        help="print so many false incidents of each character")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    return parser.parse_args()


def read(path):
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        sys.exit(f"{path}:{number}: {error}")
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Label:
    def __init__(self, row):
        self.kind = row["kind"]
        self.start, self.end = seconds(row["start"]), seconds(row["end"])
        self.keys = set(row.get("keys") or [])
        if row.get("key_id"):
            self.keys.add(row["key_id"])
        self.is_on_many = not row.get("key_id")
        self.source_ip = row.get("source_ip")
        self.detectors = set(row.get("detectors") or [])
        self.max_action = row.get("max_action")
        self.optional = bool(row.get("optional"))

    def lasts_at(self, time, aftermath):
        return self.start - BEFORE_SECONDS <= time <= self.end + aftermath

    def explains(self, alert, aftermath):
        """Whether the alert is about this attack, whatever it says."""
        # So many keys are touched by a list that an alert long after it is about something else.
        if self.is_on_many and not self.is_named_by(alert):
            aftermath = SHORT_AFTERMATH_SECONDS
        if not self.lasts_at(alert.time, aftermath):
            return False
        if alert.key_id is not None:
            return alert.key_id in self.keys
        if alert.source_ip is not None and self.source_ip is not None:
            return alert.source_ip == self.source_ip
        # A botnet has no one address; an incident about keys names some of them.
        return bool(self.keys & alert.affected) or (
            self.is_on_many and alert.source_ip is not None)

    def is_named_by(self, alert):
        return not self.detectors or bool(self.detectors & alert.detectors)


class Alert:
    def __init__(self, row):
        self.id = row["id"]
        self.is_news = row.get("type") != "alert.resolved"
        self.key_id = row.get("key_id")
        self.source_ip = row.get("source_ip")
        self.affected = set(row.get("affected_keys") or [])
        self.time = seconds(row.get("detected_event_time") or row["last_event_time"])
        self.severity = SEVERITIES.index(row.get("severity", "low"))
        self.action = ACTIONS.index(row.get("action", "observe"))
        self.detectors = set(row.get("detectors") or [])
        self.first_detector = (row.get("detectors") or ["?"])[0]
        self.text = row.get("explanation") or row.get("title") or ""


class Evaluation:
    def __init__(self, labels, cast, alerts, arguments):
        self.labels, self.cast, self.arguments = labels, cast, arguments
        self.alerts = sorted(alerts, key=lambda alert: alert.time)
        self.by_key = collections.defaultdict(list)
        for label in labels:
            for key in label.keys:
                self.by_key[key].append(label)
        self.on_many = [label for label in labels if label.is_on_many or label.source_ip]
        self.found = {}
        self.explained = set()
        self.violations = []
        self.revisions = collections.defaultdict(list)
        self.lay_beside()

    def lay_beside(self):
        wanted = SEVERITIES.index(self.arguments.severity)
        for alert in self.alerts:
            explaining = [label for label in self.candidates(alert)
                          if label.explains(alert, self.arguments.aftermath)]
            if explaining:
                self.explained.add(alert.id)
            self.check_ceiling(alert, explaining)
            if alert.severity < wanted:
                continue
            self.revisions[alert.id].append(alert)
            for label in explaining:
                if label.is_named_by(alert):
                    delay = max(0.0, alert.time - label.start)
                    self.found.setdefault(id(label), delay)

    def candidates(self, alert):
        if alert.key_id is not None:
            return self.by_key[alert.key_id]
        keyed = (label for key in alert.affected for label in self.by_key[key])
        return {id(label): label for label in [*keyed, *self.on_many]}.values()

    def check_ceiling(self, alert, explaining):
        """The key may have been attacked in earnest at the same time: then nothing is wrong."""
        if alert.key_id is None or not explaining:
            return
        ceilings = [label.max_action for label in explaining]
        if None in ceilings:
            return
        if alert.action > max(ACTIONS.index(ceiling) for ceiling in ceilings):
            self.violations.append((explaining[0], alert))

    def recall(self):
        rows = collections.defaultdict(list)
        for label in self.labels:
            rows[(label.optional, label.kind)].append(self.found.get(id(label)))
        result = []
        for (optional, kind), delays in sorted(rows.items()):
            hits = [delay for delay in delays if delay is not None]
            median = statistics.median(hits) if hits else None
            result.append({"kind": kind, "optional": optional, "found": len(hits),
                           "of": len(delays), "median_seconds": median})
        return result

    def false_incidents(self):
        """As they stood at their first alert, with the strongest action that they came to."""
        for incident, revisions in self.revisions.items():
            if incident not in self.explained:
                yield revisions[0], max(revision.action for revision in revisions)

    def character(self, key_id):
        row = self.cast.get(key_id)
        if row is None:
            return NOBODY if key_id is None else "(not in the cast)"
        return " + ".join(filter(None, [row["character"], row.get("confuser")]))

    def characters(self):
        rows = collections.defaultdict(lambda: {
            "keys": 0, "key_days": 0.0, "false": 0, "drastic": 0,
            "detectors": collections.Counter(), "examples": []})
        for key, entry in self.cast.items():
            row = rows[self.character(key)]
            row["keys"] += 1
            row["key_days"] += entry.get("key_days", 0.0)
        for alert, action in self.false_incidents():
            row = rows[self.character(alert.key_id)]
            row["false"] += 1
            row["drastic"] += action >= ACTIONS.index("suspend")
            row["detectors"][alert.first_detector] += 1
            row["examples"].append(f"{alert.key_id}: {alert.text[:160]}")
        return sorted(rows.items(), key=lambda row: -per_thousand(row[1]))

    def totals(self):
        must = [row for row in self.recall() if not row["optional"]]
        characters = [row for _, row in self.characters()]
        total = {field: sum(row[field] for row in characters)
                 for field in ("keys", "key_days", "false", "drastic")}
        return {"found": sum(row["found"] for row in must), "of": sum(row["of"] for row in must),
                **total, "per_thousand_key_days": per_thousand(total),
                "violations": len(self.violations)}

    def print(self):
        if self.arguments.json:
            print(json.dumps(self.as_json(), indent=2))
            return
        self.print_recall()
        self.print_characters()
        self.print_violations()
        total = self.totals()
        recall = total["found"] / total["of"] if total["of"] else float("nan")
        share = total["drastic"] / total["false"] if total["false"] else 0.0
        print(f"\nrecall {total['found']}/{total['of']} = {recall:.3f}; "
              f"{total['false']} false incidents = {total['per_thousand_key_days']:.2f} "
              f"per 1,000 of {total['key_days']:.0f} key-days; "
              f"{share:.1%} of them suspend or revoke; {total['violations']} violations")

    def as_json(self):
        characters = [{"character": name, **{k: v for k, v in row.items() if k != "examples"},
                       "per_thousand_key_days": per_thousand(row)}
                      for name, row in self.characters()]
        violations = [{"kind": label.kind, "key_id": alert.key_id, "action": ACTIONS[alert.action],
                       "id": alert.id} for label, alert in self.violations]
        return {"attacks": self.recall(), "characters": characters, "violations": violations,
                "total": self.totals()}

    def print_recall(self):
        print(f"Attacks, found at {self.arguments.severity} or above (in brackets: need not be)")
        for row in self.recall():
            name = f"({row['kind']})" if row["optional"] else row["kind"]
            delay = row["median_seconds"]
            time = "" if delay is None else f"  median {delay:,.0f} s"
            print(f"  {name:28} {row['found']:3} of {row['of']:<3}{time}")

    def print_characters(self):
        print("\nFalse incidents per 1,000 key-days, worst first")
        for name, row in self.characters():
            if not row["false"]:
                continue
            detectors = ", ".join(f"{name} {n}" for name, n in row["detectors"].most_common(3))
            print(f"  {name:40} {per_thousand(row):9.1f}  ({row['false']} in "
                  f"{row['key_days']:.0f} key-days, {row['drastic']} suspend or revoke; "
                  f"{detectors})")
            for example in row["examples"][:self.arguments.show]:
                print(f"      {example}")
        quiet = [name for name, row in self.characters() if not row["false"] and row["keys"]]
        print(f"  none: {', '.join(sorted(quiet)) or '-'}")

    def print_violations(self):
        print("\nActions above the ceiling of what was refused throughout")
        kinds = collections.Counter(
            (label.kind, ACTIONS[alert.action]) for label, alert in self.violations)
        for (kind, action), count in kinds.most_common():
            print(f"  {kind:28} {action:8} {count}")
        if not kinds:
            print("  none")


def per_thousand(row):
    """Incidents about no key have no key-days: they count as they are, at the end."""
    return 1000.0 * row["false"] / row["key_days"] if row["key_days"] else 0.0


if __name__ == "__main__":
    main()
