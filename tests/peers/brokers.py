"""Brokers that are measured: how each is started on an empty folder, and one that runs."""

import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time

import kafka

# A broker's files and connections; Debian's default of 1024 would stop both.
OPEN_FILES = 65536


class Mainstem:
    def __init__(self, binary, flush):
        self.name, self.binary, self.flush = f"Mainstem flush={flush}", binary, flush

    def prepare(self, directory, port):
        directory.mkdir(parents=True)
        self.command = [self.binary, "serve", "--no-connect", "--data-dir", str(directory), "--flush", self.flush,
                        "--listen", f"127.0.0.1:{port}", "--registry-listen", "127.0.0.1:0",
                        "--admin-listen", "127.0.0.1:0"]

    def spawn(self, directory):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
        log = open(directory / "stdout.log", "ab")
        return subprocess.Popen(self.command, env=clean, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def version(self):
        told = subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, text=True, check=True)
        return told.stdout.strip()


class Kafka:
    name = "Kafka flush=os"

    def prepare(self, directory, port):
        self.settings = kafka.format_storage(directory, port)

    def spawn(self, directory):
        return kafka.spawn(directory, self.settings)

    def version(self):
        java = subprocess.run(["java", "-version"], stderr=subprocess.PIPE, text=True).stderr.splitlines()[0]
        return f"Apache Kafka {kafka.version()}, {java}, {' '.join(kafka.HEAP)}, G1, KRaft combined"


class Running:
    """A broker that has been started, with the figures that starting it gave."""

    def __init__(self, broker, scratch):
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=scratch))
        data, port = self.directory / "data", kafka.free_port()
        broker.prepare(data, port)
        self.bootstrap = f"127.0.0.1:{port}"
        begun = time.monotonic()
        self.process = broker.spawn(data)
        kafka.wait_for_answer(port, self.process, data / "stdout.log")
        self.start_up_ms = (time.monotonic() - begun) * 1e3

    def resident(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the broker is gone")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory)


def open_enough_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
