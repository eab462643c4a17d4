"""A broker of ours as a process, for the programs of this folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Broker:
    """`mainstem serve` on a port, by default a free one, with a folder of its own; `settings` are its properties."""

    def __init__(self, mainstem, settings, port=None):
        self.folder = Path(tempfile.mkdtemp(prefix="mainstem-foreign-"))
        self.port = port or free_port()
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self.log = self.folder / "broker.log"
        # The variables of the tests are no settings of the broker.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTEM_") or k == "MAINSTEM_LOG"}
        command = [mainstem, "serve", "--no-connect", "--config", properties, "--data-dir", self.folder / "data"]
        command += ["--listen", self.bootstrap, "--registry-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.lives() or deadline < time.monotonic():
                self.process.kill()
                sys.exit(f"the broker does not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def lives(self):
        return self.process.poll() is None

    def stop(self):
        """Ends it; gives what it said when it did not end well, or nothing."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        said = self.log.read_text(errors="replace")[-4000:] if status != 0 else ""
        shutil.rmtree(self.folder, ignore_errors=True)
        return f"the broker ended with {status}:\n{said}" if status != 0 else ""
