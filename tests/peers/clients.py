#!/usr/bin/env python3
"""Mainstem's client beside the others that a Rust program could choose, on one broker in one run.

  clients.py --mainstem BINARY [--broker mainstem|kafka] [--rounds N] [--seconds S] [--write FILE]

The programs in `clients/` put the same loads on the broker, each through one client with the same settings; they are
built into the cache first. Clients take turns: in each round every load is run by all of them, in an order that turns
round, and medians over the rounds are printed. Nothing else of a run is left on the broker when the next one begins.

The table is Markdown. With --write it replaces what stands between the marks of the name `clients` in FILE. The last
column is how many times our client is ahead of the best of the others: above 1 it is faster, cheaper or smaller.
"""

import argparse
import dataclasses
import datetime
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib

import kafka
from brokers import Kafka, Mainstem, Running
from figures import Machine, Results, number, write

CRATE = pathlib.Path(__file__).resolve().parent / "clients"
OURS = "Mainstem"
# Column, program, crates that it is made of.
CLIENTS = [
    (OURS, "load-mainstem", ["mainstem-client"]),
    ("rdkafka", "load-rdkafka", ["rdkafka", "rdkafka-sys"]),
    ("confluent-kafka", "load-confluent", ["confluent-kafka"]),
    ("krafka", "load-krafka", ["krafka"]),
]
# Has no limit of records in a poll: it hands out one at a time.
WITHOUT_POLL_RECORDS = "rdkafka"
POLL_RECORDS = {500: "polls of 500", 10_000: "in bulk"}
SHAPES = [(size, compression) for size in (100, 1024) for compression in ("none", "lz4")]
# Records that are there to be read, by the size of their values.
FILLED = {100: 2_000_000, 1024: 500_000}
# Until what was deleted has left the disk, and the writing back of it has an end.
SETTLE_S = 1.5
# Beyond the seconds that a load takes.
PATIENCE_S = 120
BURN_IN_S = 5
SETTINGS = (
    "Settings, the same for all: 6 partitions, which each record names; acks=all, idempotent, linger 5 ms (none for "
    "latency), batches of 64 KiB, 5 requests in flight, 1 MiB a request, a buffer of 32 MiB; fetches of at most 50 MiB "
    "and 1 MiB a partition, min bytes 1; what is not named is each client's default. Values are text that LZ4 packs to "
    "about half. In bulk: polls of at most 10,000 records; ours by `next_batch`. rdkafka hands out one message at a time, "
    "and its figures stand in both rows. "
)


@dataclasses.dataclass
class Load:
    """One load: its row, the program's arguments, and the figures that are taken: key, what it is called, and
    whether more is better."""

    row: str
    arguments: list
    figures: list
    # A topic that stays; None: one that is made for each run.
    topic: str = None
    # Rows of other loads that are the same one for WITHOUT_POLL_RECORDS, and whether this is such a load.
    same: tuple = ()
    repeats: bool = False


def cost(of):
    return [("cpu_s", f"CPU s per {of}", False), ("peak_mb", "peak resident, MB", False)]


def loads(seconds):
    for size, compression in SHAPES:
        shape = ["--value-bytes", str(size), "--compression", compression]
        figures = [("per_s", "records/s", True), *cost("million records")]
        yield Load(f"produce, {size} B, {compression}", ["produce", *shape, "--seconds", str(seconds)], figures)
    for size, compression in SHAPES:
        rows = {limit: f"consume, {size} B, {compression}, {how}" for limit, how in POLL_RECORDS.items()}
        for limit, row in rows.items():
            arguments = ["consume", "--value-bytes", str(size), "--records", str(FILLED[size]),
                         "--poll-records", str(limit)]
            figures = [("per_s", "records/s", True), *cost("million records")]
            repeats = limit != min(POLL_RECORDS)
            same = () if repeats else tuple(other for other in rows.values() if other != row)
            yield Load(row, arguments, figures, filled(size, compression), same, repeats)
    times = [("p50_us", "p50, us", False), ("p99_us", "p99, us", False), ("p99_9_us", "p99.9, us", False)]
    # Twice as long, for its tail.
    yield Load("latency, 1,000 records/s, 100 B", ["latency", "--rate", "1000", "--seconds", str(seconds * 2)],
               [*times, *cost("million records")])
    yield Load("transactions of 100 records of 100 B", ["transactions", "--seconds", str(seconds)],
               [("per_s", "transactions/s", True), *cost("1,000 transactions")])


def filled(size, compression):
    return f"filled-{size}-{compression}"


class Programs:
    """The programs, built."""

    def __init__(self):
        cache = pathlib.Path(os.environ.get("MAINSTEM_CACHE") or pathlib.Path.home() / ".cache/mainstem")
        target = cache / "peers" / "clients"
        command = [os.environ.get("CARGO", "cargo"), "build", "--release", "--quiet", "--locked",
                   "--manifest-path", str(CRATE / "Cargo.toml")]
        subprocess.run(command, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, stdout=sys.stderr)
        self.folder = target / "release"
        lock = tomllib.loads((CRATE / "Cargo.lock").read_text())
        self.versions = {package["name"]: package["version"] for package in lock["package"]}

    def run(self, program, running, topic, arguments, patience_s=PATIENCE_S):
        """One run: its report as a document. Ends this program when it fails."""
        command = [str(self.folder / program), *arguments, "--bootstrap", running.bootstrap, "--topic", topic]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=patience_s)
        except subprocess.TimeoutExpired as error:
            sys.exit(f"{' '.join(command)}\nit did not come to its end in {patience_s} s\n{error.stderr}")
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout)

    def ours(self, running, topic, *arguments):
        return self.run(CLIENTS[0][1], running, topic, list(arguments))

    def told(self):
        """Who they are."""
        def crates(names):
            return ", ".join(f"{name} {self.versions[name]}" for name in names)
        return "; ".join(crates(names) for _, _, names in CLIENTS)


class Comparison:
    def __init__(self, arguments, programs, scratch):
        self.arguments, self.programs, self.scratch = arguments, programs, scratch
        self.results, self.machine, self.better = Results(), Machine(), {}
        self.broker = Kafka() if arguments.broker == "kafka" else Mainstem(arguments.mainstem, "os")
        self.runs = 0

    def run(self):
        running = Running(self.broker, self.scratch)
        try:
            self.prepare(running)
            for turn in range(self.arguments.rounds):
                self.round(running, turn)
        finally:
            running.stop()
        return self.table()

    def prepare(self, running):
        """Topics that are read, and for a JVM a while of load, so that it has compiled what is hot."""
        for size, compression in SHAPES:
            topic = filled(size, compression)
            print(f"filling {topic}", file=sys.stderr, flush=True)
            self.programs.ours(running, topic, "create")
            shape = ["--value-bytes", str(size), "--compression", compression]
            self.programs.ours(running, topic, "fill", *shape, "--records", str(FILLED[size]))
            if self.arguments.broker == "kafka":
                with self.topic(running) as burnt:
                    self.programs.ours(running, burnt.name, "produce", *shape, "--seconds", str(BURN_IN_S))

    def round(self, running, turn):
        for place, load in enumerate(loads(self.arguments.seconds)):
            first = (turn + place) % len(CLIENTS)
            for column, program, _ in CLIENTS[first:] + CLIENTS[:first]:
                if not (load.repeats and column == WITHOUT_POLL_RECORDS):
                    print(f"round {turn + 1}: {load.row}: {column}", file=sys.stderr, flush=True)
                    self.measure(running, load, column, program)

    def measure(self, running, load, column, program):
        if load.topic:
            report = self.programs.run(program, running, load.topic, load.arguments)
        else:
            with self.topic(running) as topic:
                report = self.programs.run(program, running, topic.name, load.arguments,
                                           PATIENCE_S + 2 * self.arguments.seconds)
        rows = [load.row, *(load.same if column == WITHOUT_POLL_RECORDS else ())]
        for row, (key, what, more) in itertools.product(rows, load.figures):
            self.better[f"{row}: {what}"] = max if more else min
            self.results.add(f"{row}: {what}", column, report[key])

    def topic(self, running):
        self.runs += 1
        return Topic(self.programs, running, f"run-{self.runs}")

    def table(self):
        columns = [column for column, _, _ in CLIENTS]
        lines = [*self.head(), "", f"| what | {' | '.join(columns)} | ours / best other |"]
        lines.append(f"| --- |{' ---: |' * (len(columns) + 1)}")
        for row in self.results.rows:
            medians = {column: self.results.median(row, column) for column in columns}
            cells = ["-" if value is None else number(value) for value in medians.values()]
            lines.append(f"| {row} | {' | '.join(cells)} | {self.ahead(row, medians)} |")
        return "\n".join(lines)

    def ahead(self, row, medians):
        ours = medians[OURS]
        best = self.better[row](value for column, value in medians.items() if column != OURS and value is not None)
        return f"{ours / best if self.better[row] is max else best / ours:.2f}"

    def head(self):
        seconds = self.arguments.seconds
        reading = " and ".join(f"{count:,} records of {size:,} B" for size, count in FILLED.items())
        return [
            f"Measured {datetime.date.today()} against one broker, {self.broker.name} ({self.broker.version()}), on "
            f"{self.machine}; client and broker share the machine{self.machine.disturbed()}. "
            f"Clients: {self.programs.told()}.",
            "",
            f"{SETTINGS}Produce and transactions run for {seconds} s, latency for {2 * seconds} s after 1 s of warm-up, "
            f"consume reads {reading}; medians of {self.arguments.rounds} rounds in turn. CPU and memory are those of "
            "the client's process, CPU while the load runs, memory its peak since its begin.",
        ]


class Topic:
    """Made for one run, and gone before the next."""

    def __init__(self, programs, running, name):
        self.programs, self.running, self.name = programs, running, name

    def __enter__(self):
        self.programs.ours(self.running, self.name, "create")
        return self

    def __exit__(self, *_):
        self.programs.ours(self.running, self.name, "delete")
        time.sleep(SETTLE_S)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mainstem", required=True, help="the binary")
    parser.add_argument("--broker", choices=["mainstem", "kafka"], default="mainstem", help="who is talked to")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each load; latency takes twice as long")
    parser.add_argument("--scratch", help="folder for the broker's data [default: the temporary folder]")
    parser.add_argument("--write", type=pathlib.Path, help="document to put the table into")
    arguments = parser.parse_args()
    if arguments.broker == "kafka":
        kafka.libraries()
    programs = Programs()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        table = Comparison(arguments, programs, pathlib.Path(scratch)).run()
    print(table)
    if arguments.write:
        write(arguments.write, "clients", table)


if __name__ == "__main__":
    main()
