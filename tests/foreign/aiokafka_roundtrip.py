"""Round-trips records through a broker with aiokafka.

Usage: aiokafka_roundtrip.py BOOTSTRAP [RECORDS]

1. An idempotent producer writes the records with keys, headers and timestamps, in each codec that Python has.
2. A group of two consumers reads them all, commits, and a later member finds nothing left.
3. Offsets by timestamp, beginning and end are what was written.
4. A transactional producer commits and aborts, and commits a group's offsets with its records.

Each check that holds is told as a line of JSON; the first that does not ends the program with a message.
"""

import asyncio
import json
import os
import sys
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PARTITIONS = 4
# Longer than anything takes on a busy machine; reached only when something hangs.
PATIENCE_S = 120
RUN = f"{os.getpid()}-{int(time.time() * 1000)}"
FIRST_TIMESTAMP_MS = 1_500_000_000_000
CODECS = [None, "gzip"]


def check(condition, message):
    if not condition:
        sys.exit(f"aiokafka_roundtrip: {message}")


def checked(what, count, how):
    print(json.dumps({"checked": what, "records": count, "how": how}), flush=True)


def consumer(bootstrap, group, *topics, **settings):
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=500,
        **settings,
    )


def verify(record):
    number = int(record.value.decode().removeprefix("value-"))
    check(record.partition == number % PARTITIONS, f"the partition of {number}")
    check(record.key == f"key-{number % 97}".encode(), f"the key of {number}")
    check(list(record.headers) == [("number", str(number).encode())], f"the headers of {number}")
    check(record.timestamp == FIRST_TIMESTAMP_MS + number, f"the timestamp of {number}")
    return number


async def produce(bootstrap, topic, count):
    for index, codec in enumerate(CODECS):
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, enable_idempotence=True, compression_type=codec, linger_ms=5
        )
        await producer.start()
        sent = []
        for number in range(index, count, len(CODECS)):
            sent.append(
                await producer.send(
                    topic,
                    f"value-{number}".encode(),
                    f"key-{number % 97}".encode(),
                    partition=number % PARTITIONS,
                    timestamp_ms=FIRST_TIMESTAMP_MS + number,
                    headers=[("number", str(number).encode())],
                )
            )
        await asyncio.gather(*sent)
        await producer.stop()


async def settle(members, parts):
    """Polls until the members hold as many partitions as they should; nothing is delivered meanwhile."""
    while sorted(len(member.assignment()) for member in members) != parts:
        await asyncio.sleep(0.05)


async def group(bootstrap, topic, count):
    name = f"aiokafka-group-{RUN}"
    members = [consumer(bootstrap, name, topic) for _ in range(2)]
    for member in members:
        await member.start()
    await settle(members, [2, 2])
    seen = set()
    while len(seen) < count:
        for member in members:
            for records in (await member.getmany(timeout_ms=100, max_records=5000)).values():
                for record in records:
                    number = verify(record)
                    check(number not in seen, f"value {number} came twice")
                    seen.add(number)
    for member in members:
        await member.commit()
        await member.stop()
    late = consumer(bootstrap, name, topic)
    await late.start()
    await settle([late], [PARTITIONS])
    check(not await late.getmany(timeout_ms=200), "a committed record came again")
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    committed = sum([await late.committed(partition) for partition in partitions])
    check(committed == count, f"committed offsets add up to {committed}")
    await late.stop()
    return name


async def offsets(bootstrap, topic, count):
    reader = consumer(bootstrap, None)
    await reader.start()
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    check(sum((await reader.beginning_offsets(partitions)).values()) == 0, "the beginning")
    check(sum((await reader.end_offsets(partitions)).values()) == count, "the end")
    middle = FIRST_TIMESTAMP_MS + count // 2
    found = await reader.offsets_for_times({partition: middle for partition in partitions})
    for partition in partitions:
        check(found[partition] is not None and middle <= found[partition].timestamp, f"{partition} by timestamp")
    await reader.stop()


async def read(bootstrap, topic, isolation, expected):
    reader = consumer(bootstrap, None, isolation_level=isolation)
    await reader.start()
    reader.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    await reader.seek_to_beginning()
    values = []
    while len(values) < expected:
        for records in (await reader.getmany(timeout_ms=100, max_records=5000)).values():
            values.extend(record.value.decode() for record in records)
    await reader.stop()
    return values


async def transactions(bootstrap, admin, source, count):
    topic, name = f"aiokafka-transactions-{RUN}", f"aiokafka-loop-{RUN}"
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"aiokafka-{RUN}")
    await producer.start()
    kept, written = set(), set()
    for number in range(20):
        values = [f"{number}-{index}" for index in range(max(1, count // 20))]
        await producer.begin_transaction()
        sent = [
            await producer.send(topic, value.encode(), partition=index % PARTITIONS)
            for index, value in enumerate(values)
        ]
        await asyncio.gather(*sent)
        await producer.send_offsets_to_transaction({TopicPartition(source, 0): number}, name)
        written.update(values)
        if number % 3 == 2:
            await producer.abort_transaction()
        else:
            await producer.commit_transaction()
            kept.update(values)
    await producer.stop()
    committed = await read(bootstrap, topic, "read_committed", len(kept))
    check(len(committed) == len(kept) and set(committed) == kept, "read_committed saw other records")
    everything = await read(bootstrap, topic, "read_uncommitted", len(written))
    check(sorted(everything) == sorted(written), "read_uncommitted saw other records")
    held = await admin.list_consumer_group_offsets(name)
    check(held[TopicPartition(source, 0)].offset == 19, f"the last committed transaction's offset: {held}")


async def administer(admin, topic, name):
    described = await admin.describe_topics([topic])
    check(len(described[0]["partitions"]) == PARTITIONS, "partitions")
    check(any(listed[0] == name for listed in await admin.list_consumer_groups()), "the group is not listed")
    ours = [listed for listed in await admin.list_topics() if listed.endswith(RUN)]
    await admin.delete_topics(ours)
    check(not set(ours) & set(await admin.list_topics()), "topics outlive their deletion")


async def everything(bootstrap, count):
    print(json.dumps({"client": "aiokafka", "language": "Python", "version": aiokafka.__version__}), flush=True)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    topic = f"aiokafka-{RUN}"
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await produce(bootstrap, topic, count)
    checked("produce", count, "idempotent, gzip and none, keys, headers and timestamps")
    name = await group(bootstrap, topic, count)
    checked("consume", count, "every record once")
    checked("groups", count, "two members, committed offsets, a later member")
    await offsets(bootstrap, topic, count)
    checked("offsets", count, "beginning, end, by timestamp, of a group")
    await transactions(bootstrap, admin, topic, count)
    checked("transactions", count, "commits, aborts, offsets within transactions")
    await administer(admin, topic, name)
    checked("admin", count, "topics, groups")
    await admin.close()


async def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: aiokafka_roundtrip.py BOOTSTRAP [RECORDS]")
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 100_000
    try:
        # Longer than all steps together; each of them has its own end only through it.
        await asyncio.wait_for(everything(sys.argv[1], count), 3 * PATIENCE_S)
    except asyncio.TimeoutError:
        sys.exit("aiokafka_roundtrip: it did not come to its end in time")


asyncio.run(main())
