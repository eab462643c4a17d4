"""Round-trips records through a broker with kafka-python.

Usage: kafka_python_roundtrip.py BOOTSTRAP [RECORDS]

1. A producer (idempotent, acks=all) writes the records with keys and headers.
2. A group of two consumers reads them all, commits, and a later member finds nothing left.
3. Offsets by timestamp, beginning and end are what was written.

Each check that holds is told as a line of JSON; exits with a message and a status that is not zero when anything differs.
"""

import json
import os
import sys
import threading
import time

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

PARTITIONS = 4
# Longer than anything takes on a busy machine; reached only when something hangs.
PATIENCE_S = 120
RUN = f"{os.getpid()}-{int(time.time() * 1000)}"
FIRST_TIMESTAMP_MS = 1_500_000_000_000


def fail(message):
    print(f"kafka_python_roundtrip: {message}", file=sys.stderr)
    sys.exit(1)


def check(condition, message):
    if not condition:
        fail(message)


def checked(what, count):
    print(json.dumps({"checked": what, "records": count}), flush=True)


def consumer(bootstrap, group):
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=500,
    )


def produce(bootstrap, topic, count):
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        compression_type="gzip",
        linger_ms=5,
    )
    futures = [
        producer.send(
            topic,
            key=f"key-{number % 97}".encode(),
            value=f"value-{number}".encode(),
            headers=[("number", str(number).encode())],
            timestamp_ms=FIRST_TIMESTAMP_MS + number,
        )
        for number in range(count)
    ]
    producer.flush(PATIENCE_S)
    for future in futures:
        check(future.succeeded(), f"delivery failed: {future.exception}")
    producer.close()


def settle(members):
    """Polls each member in a thread of its own, as members of a group live, until both hold half of the partitions;
    then goes back to the beginning.

    The polls are long. This client forgets a join that completes while nobody polls, and joins anew; polled in short
    turns, two members keep each other rebalancing, for minutes when the machine is busy (docs/testing.md)."""
    settled, died = threading.Event(), []

    def live(member):
        try:
            while not settled.is_set():
                member.poll(timeout_ms=10_000, max_records=1)
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread tells it
            died.append(error)

    threads = [threading.Thread(target=live, args=(member,), daemon=True) for member in members]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while sorted(len(member.assignment()) for member in members) != [2, 2]:
        check(not died, f"a member died while the group settled: {died}")
        check(time.monotonic() < deadline, f"the group did not settle in time: {[m.assignment() for m in members]}")
        time.sleep(0.05)
    settled.set()
    for thread in threads:
        thread.join()
    for member in members:
        member.seek_to_beginning()


def group(bootstrap, topic, count):
    name = f"kafka-python-group-{RUN}"
    members = [consumer(bootstrap, name) for _ in range(2)]
    for member in members:
        member.subscribe([topic])
    settle(members)
    seen = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(seen) < count:
        check(time.monotonic() < deadline, f"{len(seen)} of {count} records came in time")
        for member in members:
            for records in member.poll(timeout_ms=100, max_records=5000).values():
                for record in records:
                    number = int(record.value.decode().removeprefix("value-"))
                    check(number not in seen, f"value {number} came twice")
                    seen.add(number)
                    check(record.key == f"key-{number % 97}".encode(), f"key of {number}")
                    expected = [("number", str(number).encode())]
                    check(list(record.headers) == expected, f"headers of {number}")
                    check(record.timestamp == FIRST_TIMESTAMP_MS + number, f"time of {number}")
    for member in members:
        member.commit()
        member.close()

    late = consumer(bootstrap, name)
    late.subscribe([topic])
    deadline = time.monotonic() + PATIENCE_S
    while len(late.assignment()) < PARTITIONS:
        check(time.monotonic() < deadline, "the late consumer got no partitions")
        check(not late.poll(timeout_ms=1_000), "the late consumer read what was committed")
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    committed = sum(late.committed(partition) for partition in partitions)
    check(committed == count, f"committed offsets add up to {committed}")
    positions = sum(late.position(partition) for partition in partitions)
    check(positions == count, f"positions add up to {positions}")
    late.close()


def offsets(bootstrap, topic, count):
    reader = consumer(bootstrap, None)
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    check(sum(reader.beginning_offsets(partitions).values()) == 0, "the beginning")
    check(sum(reader.end_offsets(partitions).values()) == count, "the end")
    middle = FIRST_TIMESTAMP_MS + count // 2
    found = reader.offsets_for_times({partition: middle for partition in partitions})
    for partition in partitions:
        place = found[partition]
        check(place is not None and place.timestamp >= middle, f"{partition}: {place}")
        reader.assign([partition])
        reader.seek(partition, place.offset - 1)
        before = next(reader)
        check(before.timestamp < middle, f"{partition}: an earlier record is late enough")
    reader.close()


def main():
    if len(sys.argv) not in (2, 3):
        fail("usage: kafka_python_roundtrip.py BOOTSTRAP [RECORDS]")
    bootstrap = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 100_000
    topic = f"kafka-python-{RUN}"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    print(json.dumps({"client": "kafka-python", "language": "Python", "version": kafka.__version__}), flush=True)
    produce(bootstrap, topic, count)
    checked("produce", count)
    group(bootstrap, topic, count)
    checked("consume", count)
    checked("groups", count)
    offsets(bootstrap, topic, count)
    checked("offsets", count)
    admin.delete_topics([topic])
    checked("admin", count)
    admin.close()


main()
