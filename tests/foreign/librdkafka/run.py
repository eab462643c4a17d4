"""Runs librdkafka's own tests against our broker, each number in a process of its own, and prints a table.

Usage: run.py RUNNER_FOLDER MAINSTEM [short | all | NUMBER...]

`tests.txt` says which tests run and why others cannot. A test passes when librdkafka says so: one that
skips itself although the list does not expect it has failed. The broker is a fresh `mainstem serve` for
the whole run, so that what one test leaves behind is there for the next one, as on a real cluster.
Output of tests that fail is kept in RUNNER_FOLDER/logs and its end is shown.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from broker import Broker  # noqa: E402

# The version that librdkafka takes us for; it leaves out what newer or older brokers do otherwise.
KAFKA_VERSION = "4.1.0"
# No test takes this long, even on a busy machine; the tests have limits of their own below it.
TEST_TIMEOUT_S = 600
SETTINGS = {
    "default": {"auto.create.topics.enable": "true", "num.partitions": "4"},
    "noautocreate": {"auto.create.topics.enable": "false", "num.partitions": "4"},
}
SUMMARY = re.compile(r"\|\S*\s*(\d{4}_\w+)\s+\|\s+(\w+)\s+\|\s+([\d.]+)s[^|]*\|(.*)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Test:
    def __init__(self, name, where, needs):
        self.name, self.number, self.where, self.needs = name, name.split("_")[0], where, needs

    @property
    def scenario(self):
        return "default" if self.where == "short" else self.where


def listed():
    tests = []
    for line in (HERE / "tests.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, where, *needs = line.split(maxsplit=2)
            if where not in ("short", "default", "noautocreate", "-") or (where == "-") != bool(needs):
                sys.exit(f"tests.txt: {line}")
            tests.append(Test(name, where, needs[0] if needs else ""))
    return tests


def in_sources(folder):
    """The names of all tests that talk to a broker, as the sources list them."""
    text = (folder / "tests/test.c").read_text()
    table = text[text.index("struct test tests[]") :].split("{NULL}")[0]
    entries = table.split("_TEST(")[1:]
    return {entry.split(",")[0].strip() for entry in entries if "TEST_F_LOCAL" not in entry}


def run_number(folder, number, scenario, bootstrap, quick):
    """Runs all tests of a number; gives what librdkafka says of each, and the whole output."""
    configuration = tempfile.NamedTemporaryFile("w", suffix=".conf")
    configuration.write(f"bootstrap.servers={bootstrap}\ntest.timeout.multiplier=2\n")
    configuration.flush()
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{folder}/src:{folder}/src-cpp",
        "RDKAFKA_TEST_CONF": configuration.name,
        "TEST_KAFKA_VERSION": KAFKA_VERSION,
        "TESTS": number,
    }
    arguments = ["./test-runner", "-p1", "-L", "-s", scenario] + (["-Q"] if quick else [])
    output = folder / "logs" / f"{number}-{scenario}.log"
    output.parent.mkdir(exist_ok=True)
    with open(output, "wb") as log:
        process = subprocess.Popen(
            arguments, cwd=folder / "tests", env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(TEST_TIMEOUT_S)
            end = f"it ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            end = f"killed after {TEST_TIMEOUT_S} s"
    text = COLOUR.sub("", output.read_text(errors="replace"))
    results = {}
    for match in SUMMARY.finditer(text):
        name, state, seconds, why = match.groups()
        results[name] = (state, float(seconds), why.strip())
    return results, text, end


def run(folder, mainstem, tests, quick):
    """Runs the tests; gives one line of result for each: name, state, seconds, remark."""
    brokers, lines, wrong = {}, [], False
    wanted = sorted({(test.number, test.scenario) for test in tests if test.where != "-"})
    results = {}
    try:
        for number, scenario in wanted:
            if scenario not in brokers:
                brokers[scenario] = Broker(mainstem, SETTINGS[scenario])
            started = time.monotonic()
            found, text, end = run_number(folder, number, scenario, brokers[scenario].bootstrap, quick)
            for test in tests:
                if (test.number, test.scenario) != (number, scenario):
                    continue
                state, seconds, why = found.get(test.name, ("LOST", time.monotonic() - started, end))
                passed = state == "PASSED"
                results[test.name] = ("passed" if passed else "FAILED", seconds, "" if passed else f"{state}: {why}")
                print(f"{test.name:<48} {results[test.name][0]:<14} {seconds:6.1f} s  {results[test.name][2]}", flush=True)
                if not passed:
                    wrong = True
                    print("\n".join(f"    {line}" for line in text.splitlines()[-25:]))
            if not brokers[scenario].lives():
                break
    finally:
        for broker in brokers.values():
            complaint = broker.stop()
            if complaint:
                wrong = True
                print(complaint)
    for test in tests:
        if test.where == "-":
            lines.append((test.name, "not applicable", test.needs))
        else:
            state, _, why = results.get(test.name, ("FAILED", 0, "the broker had gone"))
            lines.append((test.name, state, why))
    return lines, wrong


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder, mainstem, *chosen = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), *sys.argv[3:]
    tests = listed()
    differing = {test.name for test in tests} ^ in_sources(folder)
    if differing:
        sys.exit(f"tests.txt and the sources differ: {', '.join(sorted(differing))}")
    chosen = chosen or ["all"]
    short = chosen == ["short"]
    if short:
        tests = [test for test in tests if test.where == "short"]
    elif chosen != ["all"]:
        tests = [test for test in tests if test.number in chosen]
    started = time.monotonic()
    lines, wrong = run(folder, mainstem, tests, quick=short)
    for name, state, why in lines:
        if state == "not applicable":
            print(f"{name:<48} {state:<14} needs {why}")
    count = {state: sum(line[1] == state for line in lines) for state in ("passed", "FAILED", "not applicable")}
    version = folder.name.removeprefix("librdkafka-")
    print(
        f"librdkafka {version}: {count['passed']} passed, {count['FAILED']} failed,"
        f" {count['not applicable']} not applicable, in {time.monotonic() - started:.0f} s"
    )
    about = f"{count['passed']} of its own tests that talk to a broker pass against one broker with Kafka's defaults."
    needs = [(name, needs) for name, state, needs in lines if state == "not applicable"]
    print(json.dumps({"suite": f"librdkafka {version}, its own tests", "about": about, "not_applicable": needs}))
    sys.exit(1 if wrong or count["FAILED"] else 0)


main()
