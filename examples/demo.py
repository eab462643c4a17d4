#!/usr/bin/env python3
"""The whole platform on real data, with two SIGKILLs on the way, and the result checked. Run it with `make demo`.

Uses Python's standard library alone and talks to Mainstem as a user would: over REST and with the `mainstem` tool.
Everything is kept in one working directory, which every run begins anew.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import check_delays  # noqa: E402

KAFKA, REGISTRY, CONNECT, ADMIN = "127.0.0.1:9092", "127.0.0.1:8081", "127.0.0.1:8083", "127.0.0.1:9644"
PARTITIONS = 6
RESULTS = "delays-by-airline-day"
COLUMNS = (
    "year:int month:int day:int dep_time:int? sched_dep_time:int dep_delay:int? arr_time:int? sched_arr_time:int "
    "arr_delay:int? carrier:string flight:int tailnum:string? origin:string dest:string air_time:int? distance:int "
    "hour:int minute:int time_hour:timestamp"
)
TIMEOUT_S = 180


class Failed(Exception):
    """Something that a run cannot go on after; the text says what."""


def say(text):
    print(f"\n\033[1m==> {text}\033[0m" if sys.stdout.isatty() else f"\n==> {text}", flush=True)


def note(text):
    print(f"    {text}", flush=True)


def rest(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{url}", data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {url}: {error.code}: {error.read().decode()}") from error


def wait_for(what, probe):
    """Asks until the probe answers with something true; a refused connection counts as `not yet`."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            answer = probe()
            if answer:
                return answer
        except (OSError, Failed) as error:
            last = error
        else:
            last = "no answer yet"
        if time.monotonic() > deadline:
            raise Failed(f"{what}: gave up after {TIMEOUT_S} s: {last}")
        time.sleep(0.02)


class Platform:
    """The `mainstem serve` process."""

    def __init__(self, binaries, work, plugins, inputs):
        self.command = [
            str(binaries / "mainstem"), "serve", "--data-dir", str(work / "data"), "--plugins", str(plugins),
            "--listen", KAFKA, "--registry-listen", REGISTRY, "--connect-listen", CONNECT, "--admin-listen", ADMIN,
        ]
        for folder in inputs:
            self.command += ["--connect-files", str(folder)]
        self.log = work / "mainstem.log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        started = time.monotonic()

        def ready():
            if self.process.poll() is not None:
                tail = self.log.read_text(errors="replace")[-2000:]
                sys.exit(f"mainstem serve ended with {self.process.returncode}:\n{tail}")
            return rest("GET", f"{CONNECT}/") and rest("GET", f"{REGISTRY}/subjects") is not None

        wait_for("the platform", ready)
        note(f"broker {KAFKA}, registry {REGISTRY}, Connect {CONNECT}: ready in {time.monotonic() - started:.2f} s")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


class Streams:
    """The `flight_delays` process. It says on standard output, one JSON object a line, how far it is."""

    def __init__(self, binaries, work):
        self.command = [
            str(binaries / "examples" / "flight_delays"), "--bootstrap", KAFKA, "--registry", f"http://{REGISTRY}",
            "--state-dir", str(work / "streams-state"),
        ]
        self.log = work / "flight_delays.log"
        self.process = None
        self.lines = []
        self.changed = threading.Condition()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, text=True)
        # A list of its own: what is left of an earlier process, its end too, does not count for this one.
        self.lines = []
        threading.Thread(target=self.read, args=(self.process, self.lines), daemon=True).start()

    def read(self, process, lines):
        for line in process.stdout:
            with self.changed:
                try:
                    lines.append(json.loads(line))
                except json.JSONDecodeError:
                    note(line.rstrip())
                self.changed.notify_all()
        with self.changed:
            lines.append({"event": "ended", "code": process.wait()})
            self.changed.notify_all()

    def wait_until(self, what, matches):
        """The first line that matches; an end without it is a failure."""
        with self.changed:
            seen = 0
            deadline = time.monotonic() + TIMEOUT_S
            while True:
                while seen < len(self.lines):
                    line = self.lines[seen]
                    seen += 1
                    if matches(line):
                        return line
                    if line["event"] == "ended":
                        tail = self.log.read_text(errors="replace")[-2000:]
                        raise Failed(f"flight_delays ended with {line['code']} before {what}:\n{tail}")
                if not self.changed.wait(max(0.0, deadline - time.monotonic())):
                    raise Failed(f"flight_delays: waited {TIMEOUT_S} s for {what}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def tool(binaries, *arguments):
    command = [str(binaries / "mainstem"), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def deploy(name, config):
    rest("PUT", f"{CONNECT}/connectors/{name}/config", config)


def healthy(name):
    """The status of a connector, unless it or one of its tasks has failed."""
    status = rest("GET", f"{CONNECT}/connectors/{name}/status")
    for part in [status["connector"], *status["tasks"]]:
        if part["state"] == "FAILED":
            sys.exit(f"connector {name} failed: {part.get('trace')}")
    return status


def load(name, config):
    """Deploys a file source and waits until the whole file is in its topic. Returns rows and seconds."""
    started = time.monotonic()
    deploy(name, config)

    def complete():
        healthy(name)
        for entry in rest("GET", f"{CONNECT}/connectors/{name}/offsets")["offsets"]:
            if entry["offset"] and entry["offset"].get("complete"):
                return entry["offset"]
        return None

    offset = wait_for(f"connector {name}", complete)
    return offset["row"], time.monotonic() - started


def csv_rows(path):
    return max(0, len(path.read_text().splitlines()) - 1) if path.exists() else 0


def refuse_taken_ports():
    for address in (KAFKA, REGISTRY, CONNECT, ADMIN):
        host, port = address.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            continue
        raise Failed(f"{address} is taken: is another `mainstem serve` running? The demo needs its ports.")


def run(options):
    refuse_taken_ports()
    work, binaries = options.work, options.binaries
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True)
    flights, airlines = options.flights.resolve(), (ROOT / "examples/data/airlines.csv")
    result = work / "out" / f"{RESULTS}.csv"
    platform = Platform(binaries, work, options.plugins, {flights.parent, airlines.parent, work / "out"})
    streams = Streams(binaries, work)
    stages = []
    try:
        say("1. Start the platform: broker, schema registry and Connect in one process")
        platform.start()
        for topic in ("flights", "airlines", RESULTS):
            # Retention goes by the records' time, and these are of 2013.
            keep = ("--config", "retention.ms=-1")
            tool(binaries, "topic", "create", topic, "--partitions", str(PARTITIONS), *keep)

        say("2. Deploy the WebAssembly source connector for airlines, then for flights")
        common = {"connector.class": "file-source", "tasks.max": "1", "end.of.stream": "true", "null.text": "NA",
                  "value.converter": "avro"}
        rows, _ = load("airlines", {
            **common, "path": str(airlines), "topic": "airlines", "columns": "carrier:string,name:string",
            "key.column": "carrier",
        })
        note(f"airlines: {rows:,} rows")
        rows, seconds = load("flights", {
            **common, "path": str(flights), "topic": "flights", "columns": ",".join(COLUMNS.split()),
            "key.column": "carrier", "timestamp.column": "time_hour", "order.by": "time_hour",
        })
        note(f"flights: {rows:,} rows, Avro, {PARTITIONS} partitions keyed by carrier")
        stages.append(("source connector", rows, "rows", seconds))

        say("3. Run the Streams application flight_delays, exactly once")
        streams.start()
        line = streams.wait_until("work under way", lambda line: line["event"] == "processed")
        say(f"4. SIGKILL the Streams process while it works (after {line['flights']:,} flights), start it again")
        streams.kill()
        started = time.monotonic()
        streams.start()

        say("5. Deploy the WebAssembly sink connector, which writes committed results to a CSV file")
        deploy("delays-csv", {
            "connector.class": "file-sink", "tasks.max": "1", "topics": RESULTS, "path": str(result),
            "value.converter": "avro",
            "columns": "airline,day,flights,cancelled,delay_sum_min,delay_mean_min,delay_max_min",
        })
        line = streams.wait_until("work under way", lambda line: line["event"] == "processed")
        say(f"   SIGKILL the broker, and Connect with it (after {line['flights']:,} flights), start it again")
        platform.kill()
        platform.start()
        line = streams.wait_until("the end of the stream", lambda line: line["event"] == "complete")
        note(f"flight_delays is done: {line['flights']:,} flights since its restart, {line['results']:,} results")
        stages.append(("streams (with the broker's restart)", rows, "flights", time.monotonic() - started))
        streams.wait_until("its end", lambda line: line["event"] == "ended")

        say("6. Restart the sink connector while it is at work, and wait for the whole file")
        started = time.monotonic()
        rest("POST", f"{CONNECT}/connectors/delays-csv/restart?includeTasks=true")
        expected = len(tool(binaries, "consume", RESULTS, "--exit"))
        wait_for("the result file", lambda: healthy("delays-csv") and csv_rows(result) >= expected)
        note(f"{csv_rows(result):,} rows in {result}")
        stages.append(("sink connector (from its restart)", expected, "rows", time.monotonic() - started))

        say("7. Compare the file with a plain computation over the input")
        verdict = check_delays.main([str(flights), str(airlines), str(result)])
        if verdict == 0:
            distrust(flights, airlines, result)
        report(stages, work, result)
        return verdict
    finally:
        streams.kill()
        platform.stop()


def distrust(flights, airlines, result):
    """A check that cannot fail proves nothing: alters one row of a copy and expects to be told which."""
    lines = result.read_text().splitlines(keepends=True)
    place = len(lines) // 2
    cells = lines[place].rsplit(",", 5)
    cells[1] = str(int(cells[1]) + 1)
    lines[place] = ",".join(cells)
    copy = result.with_suffix(".altered")
    copy.write_text("".join(lines))
    wrong = list(check_delays.differences(check_delays.expected_days(str(flights), str(airlines)), str(copy)))
    copy.unlink()
    if len(wrong) != 1 or f"line {place + 1} " not in wrong[0]:
        raise Failed(f"the check did not find the altered row {place + 1}: {wrong}")
    print(f"\nThe same check on a copy with one row altered: {wrong[0]}")


def report(stages, work, result):
    print(f"\n{'stage':<38} {'amount':>16} {'seconds':>8} {'per second':>11}")
    for name, amount, unit, seconds in stages:
        print(f"{name:<38} {f'{amount:,} {unit}':>16} {seconds:>8.2f} {amount / seconds:>11,.0f}")
    print(f"""
Where everything is:
  result          {result}
  data directory  {work / 'data'}   (`mainstem serve --data-dir` opens it again)
  state stores    {work / 'streams-state'}
  logs            {work / 'mainstem.log'}, {work / 'flight_delays.log'}
Try: `tests/check_delays.py` after altering a row of the result: it says which one.""")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    cache = Path(os.environ.get("MAINSTEM_CACHE", Path.home() / ".cache/mainstem"))
    target = Path(os.environ.get("CARGO_TARGET_DIR", cache / "target"))
    parser.add_argument("--flights", type=Path, default=ROOT / "examples/data/flights-2013-01.csv.gz")
    parser.add_argument("--work", type=Path, default=ROOT / ".demo")
    parser.add_argument("--binaries", type=Path, default=target / "release")
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    options = parser.parse_args()
    if not options.flights.exists():
        parser.error(f"{options.flights} does not exist")
    options.work = options.work.resolve()
    try:
        return run(options)
    except Failed as failed:
        print(f"\nFAILED: {failed}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
