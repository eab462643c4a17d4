#!/usr/bin/env python3
"""Mainstem beside Apache Kafka, measured in one run with one client: `mainstem bench`.

Brokers take turns: every round starts each of them anew on an empty folder, in another order, and medians over the
rounds are printed. Before it is measured, every broker is driven for a while, so that a JVM has compiled what is hot.

  compare.py --mainstem BINARY [--rounds N] [--seconds S] [--burn-in S] [--write FILE]

The table is Markdown. With --write it replaces what stands between the two marks in FILE, so that figures in documents
are those that this command has measured. `better` is how many times Mainstem is ahead: above 1 it is faster, cheaper
or smaller than Kafka, both with flush=os. The column flush=commit has no counterpart in Kafka's default, which
acknowledges from the page cache.
"""

import argparse
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import kafka
from brokers import Kafka, Mainstem, Running, open_enough_files
from figures import Machine, Results, number, write

PARTITIONS = 6
BATCH_BYTES = 16384
FEW = ["--idle", "1000", "--active", "200", "--partitions", "400", "--rate", "200"]
MANY = {
    "15,000 idle and 2,000 active connections, 400 partitions":
        ["--idle", "15000", "--active", "2000", "--partitions", "400", "--active-partitions", "400", "--rate", "400"],
    "4,000 partitions, 1,000 of them active":
        ["--idle", "1", "--active", "2000", "--partitions", "4000", "--active-partitions", "1000", "--rate", "1000"],
}
MEMBERS = 10
IDLE_S = 3


class Comparison:
    def __init__(self, arguments, scratch):
        self.arguments, self.scratch, self.results = arguments, scratch, Results()
        binary = arguments.mainstem
        self.machine = Machine()
        self.ours, self.theirs, self.durable = Mainstem(binary, "os"), Kafka(), Mainstem(binary, "commit")

    def bench(self, command, running, *options):
        """One measurement: its report as a document."""
        line = [self.arguments.mainstem, "--json", "bench", command, "--bootstrap", running.bootstrap,
                "--scratch", str(self.scratch), "--ceiling-mib", "64"]
        if command != "groups":
            line += ["--pid", str(running.process.pid)]
        done = subprocess.run([*line, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(done.args)}\n{done.stderr}")
        return json.loads(done.stdout)

    def window(self, seconds=None):
        return ["--seconds", str(seconds or self.arguments.seconds), "--warm-up", "1"]

    def shape(self, record_bytes, compression):
        return ["--record-bytes", str(record_bytes), "--compression", compression, "--batch-bytes", str(BATCH_BYTES),
                "--partitions", str(PARTITIONS)]

    def note(self, report, figures, row, broker):
        for figure, suffix in figures:
            found = report["figures"].get(figure)
            if found:
                self.results.add(f"{row}, {suffix}", broker.name, found["value"], found["share"])

    def rounds(self, measure, count=None):
        """Runs `measure` for each broker in each round; the order turns round and round."""
        for number in range(count or self.arguments.rounds):
            brokers = [self.ours, self.theirs, self.durable]
            order = brokers if number % 2 == 0 else brokers[::-1]
            for broker in order:
                print(f"round {number + 1}: {measure.__name__} of {broker.name}", file=sys.stderr, flush=True)
                running = Running(broker, self.scratch)
                try:
                    measure(broker, running)
                finally:
                    running.stop()

    def burn_in(self, running):
        seconds = self.arguments.burn_in
        for compression in ("none", "lz4"):
            self.bench("produce", running, *self.shape(1024, compression), *self.window(seconds))
        self.bench("fetch", running, *self.shape(1024, "none"), *self.window(seconds))

    def throughput(self, broker, running):
        self.results.add("start-up, exec to first ApiVersions, ms", broker.name, running.start_up_ms)
        time.sleep(IDLE_S)
        self.results.add("resident when idle, MB", broker.name, running.resident() / 1e6)
        self.burn_in(running)
        figures = [("throughput", "MB/s"), ("broker_CPU", "CPU s/GB")]
        for record_bytes in (100, 1024):
            for compression in ("none", "lz4"):
                what = f"{record_bytes} B, {compression}"
                shape = [*self.shape(record_bytes, compression), *self.window()]
                for acks, name in (("all", "all"), ("leader", "1")):
                    report = self.bench("produce", running, *shape, "--acks", acks)
                    self.note(report, figures, f"produce acks={name}, {what}", broker)
                report = self.bench("fetch", running, *shape)
                self.note(report, figures, f"fetch cached, {what}", broker)
        self.results.add("resident after load, MB", broker.name, running.resident() / 1e6)

    def small(self, broker, running):
        report = self.bench("connections", running, *FEW, *self.window())
        for figure in ("partition", "idle connection", "active connection"):
            value = report["figures"][f"resident_per_{figure.replace(' ', '_')}"]["value"] / 1e3
            self.results.add(f"resident per {figure}, kB", broker.name, value)
        report = self.bench("groups", running, "--members", str(MEMBERS))
        for figure in ("join", "one_more_joins", "one_leaves"):
            found = report["figures"][figure]
            row = f"group of {MEMBERS}, {figure.replace('_', ' ')}, ms"
            self.results.add(row, broker.name, found["value"] / 1e3, found["share"])

    def many(self, broker, running):
        """As many clients, and as many partitions, as one node should carry; once, because it takes long."""
        for what, load in MANY.items():
            report = self.bench("connections", running, *load, *self.window())
            for figure, name, scale in (("resident_at_work", "resident, MB", 1e6), ("append_p99", "append p99, us", 1),
                                        ("delivery_p99", "delivery p99, us", 1)):
                found = report["figures"][figure]
                self.results.add(f"{what}: {name}", broker.name, found["value"] / scale, found["share"])

    def latency(self, broker, running):
        """At half of what the slower of the two takes in the same shape, the same rate for all."""
        row = "produce acks=all, 1024 B, none, MB/s"
        slower = min(self.results.median(row, broker.name) for broker in (self.ours, self.theirs))
        rate = int(slower / 2 * 1e6 / 1024)
        self.burn_in(running)
        report = self.bench("latency", running, *self.shape(1024, "none"), *self.window(self.arguments.seconds * 2),
                            "--rate", str(rate))
        for figure in ("p50", "p99", "p99_9"):
            found = report["figures"][figure]
            name = figure.replace("_", ".")
            self.results.add(f"latency {name} at half load, us", broker.name, found["value"], found["share"])
        achieved = report["figures"]["achieved_rate"]["share"]
        self.results.add("latency: share of the due rate that was met, %", broker.name, achieved * 100)
        self.results.settings["rate records/s"] = rate

    def run(self):
        self.rounds(self.throughput)
        self.rounds(self.small)
        self.rounds(self.latency)
        self.rounds(self.many, 1)
        return self.table()

    def table(self):
        ours, theirs, durable = self.ours.name, self.theirs.name, self.durable.name
        lines = [*self.head(), "", f"| what | {theirs} | {ours} | better | {durable} |", "| --- | ---: | ---: | ---: | ---: |"]
        for row in self.results.rows:
            cells = [self.cell(row, name) for name in (theirs, ours)]
            lines.append(f"| {row} | {cells[0]} | {cells[1]} | {self.better(row)} | {self.cell(row, durable)} |")
        return "\n".join(lines)

    def cell(self, row, broker):
        value, share = self.results.median(row, broker), self.results.share(row, broker)
        if value is None:
            return "-"
        text = number(value)
        if share is None:
            return text
        return f"{text} ({share * 100:.0f} %)" if row.endswith("MB/s") else f"{text} ({share:.1f}x)"

    def better(self, row):
        ours, theirs = (self.results.median(row, broker.name) for broker in (self.ours, self.theirs))
        if not ours or not theirs:
            return "-"
        return f"{ours / theirs:.2f}" if row.endswith(("MB/s", "%")) else f"{theirs / ours:.2f}"

    def head(self):
        rate = self.results.settings.get("rate records/s")
        return [
            f"Measured {datetime.date.today()}: {self.ours.version()}; {self.theirs.version()}; {self.machine}. "
            f"Client and broker share the machine{self.machine.disturbed()}.",
            "",
            f"Client: `mainstem bench`, requests encoded beforehand, batches of {BATCH_BYTES} bytes (before compression), "
            f"linger none (batches are full), {PARTITIONS} partitions, 2 connections with 5 requests in flight each; "
            f"{self.arguments.seconds} s after 1 s of warm-up, after {self.arguments.burn_in} s of burn-in for each kind; "
            f"medians of {self.arguments.rounds} rounds in turn. MB and GB are bytes of record values. "
            f"Latency: open loop, acks=all, 1,024 B, none, {rate:,} records/s for every broker, from the time each "
            "request was due. In brackets: the share of the ceiling of the same run (relay or durable write for "
            "produce, sendfile for fetch), for times and CPU the multiple of the floor (a loopback round trip, a synced "
            "page with flush=commit; the relay's or sendfile's CPU time).",
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mainstem", required=True, help="the binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each throughput; latency takes twice as long")
    parser.add_argument("--burn-in", type=int, default=5, help="seconds of each kind of load before a measurement")
    parser.add_argument("--scratch", help="folder for data and ceilings [default: the temporary folder]")
    parser.add_argument("--write", type=pathlib.Path, help="document to put the table into")
    arguments = parser.parse_args()
    open_enough_files()
    kafka.libraries()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        table = Comparison(arguments, pathlib.Path(scratch)).run()
    print(table)
    if arguments.write:
        write(arguments.write, "figures", table)


if __name__ == "__main__":
    main()
