"""Runs librdkafka's own tests against our broker, each number in a process of its own, and prints a table.

Usage: run.py RUNNER_FOLDER MAINSTEM [short | all | NUMBER...]

`tests.txt` says which tests run and why others cannot. A test passes when librdkafka says so: one that
skips itself although the list does not expect it has failed. The broker is a fresh `mainstem serve` for
the whole run, so that what one test leaves behind is there for the next one, as on a real cluster.
Output of tests is kept in RUNNER_FOLDER/logs; the end of those that fail is shown.
"""

import concurrent.futures
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
# They wait more than they work, and each has topics and groups of its own.
PROCESSES = 3
# No test takes this long, even on a busy machine; the tests have limits of their own below it. The longest, 0113, takes
# eight minutes when it is alone.
TEST_TIMEOUT_S = 1500
SETTINGS = {
    "default": {"auto.create.topics.enable": "true", "num.partitions": "4"},
    "noautocreate": {"auto.create.topics.enable": "false", "num.partitions": "4"},
}
SUMMARY = re.compile(r"\|\S*\s*(\d{4}_\w+)\s+\|\s+(\w+)\s+\|\s+([\d.]+)s[^|]*\|(.*)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Test:
    def __init__(self, name, where, rest):
        self.name, self.number, self.where = name, name.split("_")[0], where
        self.needs = rest if where == "-" else ""
        options = dict(option.split("=", 1) for option in rest.split()) if where != "-" else {}
        self.kafka_version = options.pop("kafka", KAFKA_VERSION)
        self.protocol = options.pop("protocol", "")
        self.is_long = options.pop("long", "") == "yes"
        # One process for each; an empty one is the whole test.
        self.subtests = options.pop("only", "").split(",")
        self.short_subtests = options.pop("short", ",".join(self.subtests)).split(",")
        if options:
            sys.exit(f"tests.txt: {name}: nobody knows {', '.join(options)}")

    @property
    def scenario(self):
        return "default" if self.where == "short" else self.where


def listed():
    tests = []
    for line in (HERE / "tests.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, where, *rest = line.split(maxsplit=2)
            if where not in ("short", "default", "noautocreate", "-") or (where == "-" and not rest):
                sys.exit(f"tests.txt: {line}")
            tests.append(Test(name, where, rest[0] if rest else ""))
    return tests


def in_sources(folder):
    """The names of all tests that talk to a broker, as the sources list them."""
    text = (folder / "tests/test.c").read_text()
    table = text[text.index("struct test tests[]") :].split("{NULL}")[0]
    entries = table.split("_TEST(")[1:]
    return {entry.split(",")[0].strip() for entry in entries if "TEST_F_LOCAL" not in entry}


def distribution(folder):
    """A folder that looks like Kafka's distribution to the tests: scripts of ours, and libraries of Kafka's client."""
    kafka = folder / "kafka"
    libraries = subprocess.run([HERE.parent / "java/libraries.sh"], stdout=subprocess.PIPE, check=True, text=True)
    for name, target in (("bin", HERE / "kafka/bin"), ("libs", libraries.stdout.strip())):
        kafka.mkdir(exist_ok=True)
        (kafka / name).unlink(missing_ok=True)
        (kafka / name).symlink_to(target)
    return kafka


def run_process(folder, mainstem, test, subtest, bootstrap, quick):
    """Runs the tests of a number in a process; gives what librdkafka says of each, the output, and how it ended."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write(f"bootstrap.servers={bootstrap}\ntest.timeout.multiplier=3\n")
        configuration.flush()
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": f"{folder}/src:{folder}/src-cpp",
            # Some tests make topics with a script of Kafka's distribution, or start its client.
            "KAFKA_PATH": str(folder / "kafka"),
            "BROKERS": bootstrap,
            "MAINSTEM": str(mainstem),
            "RDKAFKA_TEST_CONF": configuration.name,
            "TEST_KAFKA_VERSION": test.kafka_version,
            "TESTS": test.number,
        }
        if subtest:
            environment["SUBTESTS"] = subtest
        if test.protocol:
            environment["TEST_CONSUMER_GROUP_PROTOCOL"] = test.protocol
        # Line by line, or what was said last is lost when the runner aborts itself.
        command = ["stdbuf", "-oL", "./test-runner", "-p1", "-L", "-s", test.scenario] + (["-Q"] if quick else [])
        output = folder / "logs" / f"{test.number}-{test.scenario}{subtest and '-'}{subtest}.log"
        output.parent.mkdir(exist_ok=True)
        with open(output, "wb") as log:
            process = subprocess.Popen(
                command, cwd=folder / "tests", env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
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


def run_number(folder, mainstem, tests, bootstrap, quick):
    """Runs the tests of one number and scenario; gives for each: passed, seconds, what was wrong, output."""
    results = {test.name: [True, 0.0, "", ""] for test in tests}
    for subtest in tests[0].short_subtests if quick else tests[0].subtests:
        started = time.monotonic()
        found, text, end = run_process(folder, mainstem, tests[0], subtest, bootstrap, quick)
        for test in tests:
            state, seconds, why = found.get(test.name, ("LOST", time.monotonic() - started, end))
            result = results[test.name]
            result[1] += seconds
            if state != "PASSED":
                result[0] = False
                result[2] += f"{subtest} {state}: {why} "
                result[3] += "\n".join(f"    {line}" for line in text.splitlines()[-25:])
    return results


def run(folder, mainstem, tests, quick):
    """Runs the tests; gives one line of result for each, name, state and remark, and whether a broker ended badly."""
    lines, wrong, results = [], False, {}
    together = {}
    for test in tests:
        if test.where != "-":
            together.setdefault((test.number, test.scenario), []).append(test)
    brokers = {scenario: Broker(mainstem, SETTINGS[scenario]) for scenario in sorted({key[1] for key in together})}

    def outcome(key):
        bootstrap = brokers[key[1]].bootstrap
        return run_number(folder, mainstem, together[key], bootstrap, quick)

    try:
        with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
            # The long ones first, or all the rest waits for them at the end.
            order = sorted(together, key=lambda key: (not together[key][0].is_long, key))
            for future in concurrent.futures.as_completed([pool.submit(outcome, key) for key in order]):
                for name, (passed, seconds, why, output) in future.result().items():
                    results[name] = ("passed" if passed else "FAILED", why)
                    print(f"{name:<48} {results[name][0]:<14} {seconds:6.1f} s  {why}", flush=True)
                    if not passed:
                        print(output, flush=True)
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
            lines.append((test.name, *results[test.name]))
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
    distribution(folder)
    started = time.monotonic()
    lines, wrong = run(folder, mainstem, tests, quick=short)
    for name, state, why in lines:
        if state == "not applicable":
            print(f"{name:<48} {state:<14} needs {why}")
    count = {state: sum(line[1] == state for line in lines) for state in ("passed", "FAILED", "not applicable")}
    version = folder.name.split("-")[1]
    print(
        f"librdkafka {version}: {count['passed']} passed, {count['FAILED']} failed,"
        f" {count['not applicable']} not applicable, in {time.monotonic() - started:.0f} s"
    )
    about = f"{count['passed']} of its own tests that talk to a broker pass against one broker with Kafka's defaults."
    needs = [(name, needs) for name, state, needs in lines if state == "not applicable"]
    print(json.dumps({"suite": f"librdkafka {version}, its own tests", "about": about, "not_applicable": needs}))
    sys.exit(1 if wrong or count["FAILED"] else 0)


main()
