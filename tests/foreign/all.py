"""Runs every client of this folder against a fresh broker of ours each, and writes what they round-tripped.

Usage: all.py MAINSTEM PYTHON [--write docs/compatibility.md] [CLIENT...]

PYTHON is an interpreter with the Python clients. A client is a program that takes a broker's address and a number of
records, prints a line of JSON for each check that holds and ends with a status that is not zero at the first that does
not; its first line names it. `librdkafka` and `rdkafka` are test suites of their own and are told as such.

With FOREIGN_RESULTS, a folder, what passes is noted there, and what has passed there with the same MAINSTEM is not run
again: a run that was broken off, or one client that failed, need not cost the whole run.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from broker import Broker  # noqa: E402

RECORDS = 100_000
# Longer than any client takes, building included.
TIMEOUT_S = 3600
AREAS = ["produce", "consume", "groups", "offsets", "transactions", "admin"]
CLIENTS = {
    "java": ["java/run.sh"],
    "kcat": ["kcat_roundtrip.sh"],
    "confluent-kafka-python": ["PYTHON", "confluent_roundtrip.py"],
    "kafka-python": ["PYTHON", "kafka_python_roundtrip.py"],
    "aiokafka": ["PYTHON", "aiokafka_roundtrip.py"],
    "kafkajs": ["node/run.sh", "kafkajs"],
    "platformatic": ["node/run.sh", "platformatic"],
    "franz-go": ["go/run.sh"],
    "krafka": ["krafka/run.sh"],
    "confluent-kafka-rust": ["confluent_rust/run.sh"],
}
SUITES = {"librdkafka": ["librdkafka/run.sh"], "rdkafka": ["rdkafka/run.sh"]}


def lines_of_json(text):
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                pass


def run(command, python):
    """Runs a program of this folder; gives its status and the JSON that it said, and shows everything else."""
    command = [python if part == "PYTHON" else part for part in command]
    command = [str(HERE / part) if (HERE / part).is_file() else str(part) for part in command]
    process = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT_S, text=True)
    sys.stdout.write(process.stdout)
    sys.stdout.flush()
    return process.returncode, list(lines_of_json(process.stdout))


class Notes:
    """What has passed, in a folder; nothing without one."""

    def __init__(self, mainstem):
        folder = os.environ.get("FOREIGN_RESULTS")
        self.folder = folder and Path(folder) / hashlib.sha256(mainstem.read_bytes()).hexdigest()[:16]

    def find(self, name):
        note = self.folder and self.folder / f"{name}.json"
        return json.loads(note.read_text()) if note and note.exists() else None

    def keep(self, name, result):
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{name}.json").write_text(json.dumps(result))


def client(name, mainstem, python):
    broker = Broker(mainstem, {"num.partitions": "4"})
    status, said = run([*CLIENTS[name], broker.bootstrap, str(RECORDS)], python)
    complaint = broker.stop()
    if status != 0 or complaint or not said:
        print(f"{name}: FAILED\n{complaint}")
        return None
    first, *rest = said
    return {**first, "checked": [line["checked"] for line in rest if "checked" in line]}


def table(clients):
    lines = ["| client | language | version | " + " | ".join(AREAS) + " |"]
    lines.append("| --- | --- | --- |" + " --- |" * len(AREAS))
    for one in clients:
        areas = ["yes" if area in one["checked"] else "" for area in AREAS]
        lines.append(f"| {one['client']} | {one['language']} | {one['version']} | {' | '.join(areas)} |")
    return lines


def document(clients, suites):
    lines = ["# Clients that were tried", ""]
    lines += ["`make foreign` runs all that stands here, and writes this page when everything holds. The programs are in"]
    lines += [f"`tests/foreign`; each of them writes and reads {RECORDS:,} records and compares every one. What is empty was not"]
    lines += ["tried, mostly because the client does not have it.", ""]
    lines += table(clients)
    for suite in suites:
        lines += ["", f"## {suite['suite']}", "", suite["about"]]
        if suite["not_applicable"]:
            lines += ["", "| not applicable | needs |", "| --- | --- |"]
            lines += [f"| {test} | {needs} |" for test, needs in suite["not_applicable"]]
    return "\n".join(lines) + "\n"


def main():
    arguments = sys.argv[1:]
    target = None
    if "--write" in arguments:
        position = arguments.index("--write")
        target = Path(arguments[position + 1])
        del arguments[position : position + 2]
    if len(arguments) < 2:
        sys.exit(__doc__)
    mainstem, python, *chosen = Path(arguments[0]).resolve(), arguments[1], *arguments[2:]
    unknown = [name for name in chosen if name not in CLIENTS and name not in SUITES]
    if unknown:
        sys.exit(f"nobody knows {', '.join(unknown)}")
    wanted = chosen or [*CLIENTS, *SUITES]
    clients, suites, failed = [], [], []
    notes = Notes(mainstem)
    for name in wanted:
        print(f"--- {name}", flush=True)
        result = notes.find(name)
        if result is not None:
            print("has passed")
        elif name in CLIENTS:
            result = client(name, mainstem, python)
        else:
            status, said = run([*SUITES[name], str(mainstem)], python)
            result = said[-1] if status == 0 and said else None
        (clients if name in CLIENTS else suites).append(result)
        if result is None:
            failed.append(name)
        else:
            notes.keep(name, result)
    print(f"{len(wanted) - len(failed)} passed, {len(failed)} failed")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    if target and not chosen:
        target.write_text(document(clients, suites))


os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
main()
