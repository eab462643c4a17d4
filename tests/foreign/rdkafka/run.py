"""Runs the integration tests of the Rust crate rdkafka against a broker of ours.

Usage: run.py MAINSTEM [TEST...]

cargo fetches the crate; its folder is copied into the cache (MAINSTEM_CACHE, by default ~/.cache/mainstem) and built
there once. The tests run one at a time, because each of them wants the broker's attention within a second or so.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from broker import Broker  # noqa: E402

PACKAGE, VERSION = "rdkafka", "0.39.0"
KAFKA_VERSION = "4.0"
# The tests are written for a certain broker: some have its port and its number in them.
SETTINGS = {"node.id": "0", "num.partitions": "3"}
PORT = 9092
# Tests that need what one plain broker does not have; each with its reason.
NOT_APPLICABLE = {"test_base_producer_timeout": "a broker that takes more than 100 ms to make a topic"}
RESULT = re.compile(r"^test (\S+) \.\.\. (ok|FAILED|ignored)", re.M)


def sources(cache):
    """The crate's folder, copied out of cargo's registry."""
    folder = cache / f"foreign-{PACKAGE}-{VERSION}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        crate = Path(scratch)
        (crate / "src").mkdir()
        (crate / "src/lib.rs").touch()
        (crate / "Cargo.toml").write_text(
            f'[package]\nname = "sources"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\n'
            f'{PACKAGE} = "={VERSION}"\n[workspace]\n'
        )
        told = subprocess.run(
            ["cargo", "metadata", "--format-version", "1"], cwd=crate, stdout=subprocess.PIPE, check=True, text=True
        )
        manifests = {p["name"]: p["manifest_path"] for p in json.loads(told.stdout)["packages"]}
        aside = crate / "copy"
        shutil.copytree(Path(manifests[PACKAGE]).parent, aside)
        (aside / "Cargo.toml").chmod(0o644)
        with open(aside / "Cargo.toml", "a") as manifest:
            # It stands alone, whatever workspace its folder may lie in.
            manifest.write("\n[workspace]\n")
        aside.rename(folder)
    return folder


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    mainstem, *chosen = Path(sys.argv[1]).resolve(), *sys.argv[2:]
    cache = Path(os.environ.get("MAINSTEM_CACHE", Path.home() / ".cache/mainstem"))
    folder = sources(cache)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target"), "KAFKA_VERSION": KAFKA_VERSION}
    subprocess.run(["cargo", "test", "--quiet", "--tests", "--no-run"], cwd=folder, env=environment, check=True)
    broker = Broker(mainstem, SETTINGS, PORT)
    environment["KAFKA_HOST"] = broker.bootstrap
    command = ["cargo", "test", "--tests", "--no-fail-fast", "--", "--test-threads=1", *chosen]
    for test in NOT_APPLICABLE:
        command += ["--skip", test]
    run = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    complaint = broker.stop()
    results = RESULT.findall(run.stdout)
    passed = sum(result == "ok" for _, result in results)
    failed = [name for name, result in results if result == "FAILED"]
    if run.returncode != 0 or complaint:
        print(run.stdout, complaint, sep="\n")
        print(f"rdkafka {VERSION}: {passed} passed, {len(failed)} failed: {', '.join(failed)}")
        sys.exit(1)
    about = f"{passed} of its own tests pass; most of them talk to a broker."
    told = {"suite": f"rdkafka {VERSION} (Rust, over librdkafka), its own tests", "about": about}
    print(json.dumps({**told, "not_applicable": list(NOT_APPLICABLE.items())}))


main()
