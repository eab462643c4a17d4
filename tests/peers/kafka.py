#!/usr/bin/env python3
"""A single node of Apache Kafka, from Maven Central's artefacts, as a peer for tests and measurements.

  kafka.py get                  fetch the newest 4.x into the cache and say which one it is
  kafka.py start DIR [PORT]     format DIR, start a broker on it, wait until it answers; prints host:port
  kafka.py start-secured DIR    the same, with listeners that encrypt and authenticate beside the plain one; prints the
                                folder with a properties file for each way in, see kafka_secured.py
  kafka.py stop DIR             end that broker and wait until it is gone

KRaft in combined mode (broker and controller in one process). The heap and the flags of the JVM are those of Kafka's
own start script; the settings are its defaults but for replication factors of 1 and the delay with which deleted
segments leave the disk (1 s; a minute of dead data would weigh on the next measurement). The cache is MAINSTEM_CACHE,
by default ~/.cache/mainstem. Needs java 17 or newer and mvn.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import kafka_secured

HERE = pathlib.Path(__file__).resolve().parent
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60

# What bin/kafka-server-start.sh and bin/kafka-run-class.sh give a broker.
HEAP = ["-Xmx1G", "-Xms1G"]
JVM = [
    "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
]
LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
"""
SETTINGS = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={directory}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.segment.delete.delay.ms=1000
"""
# An ApiVersions v0 request: length, key 18, version 0, correlation 1, no client id.
API_VERSIONS = bytes([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF])


def libraries():
    """The folder with the jars, filled at the first call."""
    cache = pathlib.Path(os.environ.get("MAINSTEM_CACHE") or pathlib.Path.home() / ".cache/mainstem")
    folder = cache / "peers" / "kafka"
    if not (folder / "VERSION").exists():
        fetch(folder)
    return folder


def fetch(folder):
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: Apache Kafka needs it (Debian: default-jre-headless, maven)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pom = folder / "pom.xml"
    shutil.copy(HERE / "kafka-pom.xml", pom)
    print("fetching Apache Kafka's broker and its libraries with Maven", file=sys.stderr)
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime",
               f"-DoutputDirectory={folder}"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    (folder / "log4j2.properties").write_text(LOGGING)
    server = next(folder.glob("kafka_2.13-*.jar"))
    # Written last: a fetch that was cut short is begun anew.
    (folder / "VERSION").write_text(server.stem.split("-", 1)[1] + "\n")


def version():
    return (libraries() / "VERSION").read_text().strip()


def java(main, *arguments, options=()):
    folder = libraries()
    logging = f"-Dlog4j2.configurationFile={folder}/log4j2.properties"
    return ["java", *options, logging, "-cp", f"{folder}/*", main, *arguments]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port):
    """Whether a broker answers ApiVersions there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
            stream.sendall(API_VERSIONS)
            return len(stream.recv(4)) > 0
    except OSError:
        return False


def wait_for_answer(port, process, log):
    """Waits for the first ApiVersions answer; ends the program when the process ends instead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(port):
        if process.poll() is not None:
            sys.exit(f"the broker ended with {process.returncode}; see {log}")
        if time.monotonic() > deadline:
            process.kill()
            sys.exit(f"the broker does not answer; see {log}")
        time.sleep(0.0005)


NO_MORE = {"listeners": "", "advertised": "", "lines": ""}


def format_storage(directory, port, more=NO_MORE, options=()):
    """Writes the settings and formats the log directory, which is done once for each directory."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = directory / "server.properties"
    text = SETTINGS.format(port=port, controller=free_port(), directory=directory, **more)
    settings.write_text(text + more["lines"])
    command = java("kafka.tools.StorageTool", "format", "-t", "bWFpbnN0ZWFtLXBlZXJzMA", "-c", str(settings), *options)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return settings


def spawn(directory, settings):
    """Starts the formatted broker, without waiting."""
    log = open(directory / "stdout.log", "ab")
    command = java("kafka.Kafka", str(settings), options=[*HEAP, *JVM])
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def start(directory, port):
    return launch(directory, port, format_storage(directory, port))


def start_secured(directory):
    """Starts a broker with secured listeners; gives the folder of the clients' properties."""
    clients = directory / "clients"
    clients.mkdir(parents=True, exist_ok=True)
    kafka_secured.certificates(clients)
    port = free_port()
    ports = {name: free_port() for name in kafka_secured.LISTENERS}
    kafka_secured.client_properties(clients, ports)
    secured = kafka_secured.settings(clients, ports)
    launch(directory, port, format_storage(directory, port, secured, kafka_secured.FORMAT_OPTIONS))
    return clients


def launch(directory, port, settings):
    process = spawn(directory, settings)
    (directory / "pid").write_text(f"{process.pid}\n")
    wait_for_answer(port, process, directory / "stdout.log")
    return process


def stop(directory):
    pid = int((directory / "pid").read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while pathlib.Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    (directory / "pid").unlink()


def main():
    match sys.argv[1:]:
        case ["get"]:
            print(version())
        case ["start", directory, *rest] if len(rest) <= 1:
            port = int(rest[0]) if rest else free_port()
            start(pathlib.Path(directory).resolve(), port)
            print(f"127.0.0.1:{port}")
        case ["start-secured", directory]:
            print(start_secured(pathlib.Path(directory).resolve()))
        case ["stop", directory]:
            stop(pathlib.Path(directory).resolve())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
