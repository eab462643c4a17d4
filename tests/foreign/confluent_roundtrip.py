"""Round-trips records through a broker with confluent-kafka (librdkafka).

Usage: confluent_roundtrip.py BOOTSTRAP [RECORDS]

1. An idempotent producer writes the records to several partitions with keys and headers.
2. Two consumers of one group read them all between them; offsets are committed, and a third
   consumer of the same group finds nothing left.
3. A transactional producer commits some transactions and aborts others; a consumer with
   read_committed sees the first only, one with read_uncommitted sees all.
4. A consume-transform-produce loop commits its offsets within the transactions, is fenced by a
   second producer with the same transactional id, and its result is exact.
5. A group of the consumer protocol (KIP-848) shares the partitions, reads every record once, takes
   over from a member that leaves, and follows a pattern; a classic group becomes one while it runs,
   member by member, and a classic one again.

Each check that holds is told as a line of JSON; exits with a message and a status that is not zero when anything differs.
"""

import json
import os
import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
# Longer than anything takes on a busy machine; reached only when something hangs.
PATIENCE_S = 120
RUN = f"{os.getpid()}-{int(time.time() * 1000)}"


def fail(message):
    print(f"confluent_roundtrip: {message}", file=sys.stderr)
    sys.exit(1)


def check(condition, message):
    if not condition:
        fail(message)


def checked(what, count):
    print(json.dumps({"checked": what, "records": count}), flush=True)


def create(admin, topic):
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        future.result(PATIENCE_S)


def consumer(bootstrap, group, **settings):
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 10000,
            **settings,
        }
    )


def poll(consumer):
    """One message, or None when there is none now."""
    message = consumer.poll(0.2)
    if message is None:
        return None
    if message.error():
        if message.error().code() == KafkaError._PARTITION_EOF:
            return None
        raise KafkaException(message.error())
    return message


def consumer_protocol(bootstrap, group, **settings):
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **settings,
        }
    )


def settle(members, shares):
    """Polls all members until they have so many partitions each; what comes early comes again."""
    deadline = time.monotonic() + PATIENCE_S
    while sorted(len(member.assignment()) for member in members) != shares:
        held = [len(member.assignment()) for member in members]
        check(time.monotonic() < deadline, f"the group has {held}, not {shares} in time")
        for member in members:
            early = member.poll(0.1)
            if early is not None and early.error() is None:
                member.seek(TopicPartition(early.topic(), early.partition(), early.offset()))


def read(consumers, count):
    """Reads `count` messages with all consumers in turn."""
    messages = []
    deadline = time.monotonic() + PATIENCE_S
    while len(messages) < count:
        check(time.monotonic() < deadline, f"{len(messages)} of {count} records came in time")
        for one in consumers:
            if len(messages) < count:
                batch = one.consume(min(1000, count - len(messages)), 0.1)
                for message in batch:
                    check(message.error() is None, f"consume: {message.error()}")
                messages.extend(batch)
    return messages


def read_to_end(bootstrap, topic, isolation):
    """All records from the beginning to the end of each partition."""
    one = consumer(
        bootstrap,
        f"read-{isolation}-{RUN}",
        **{"isolation.level": isolation, "enable.partition.eof": True},
    )
    one.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    values, ended = [], set()
    deadline = time.monotonic() + PATIENCE_S
    while len(ended) < PARTITIONS:
        check(time.monotonic() < deadline, f"{topic}: the end was not reached in time")
        message = one.poll(0.2)
        if message is None:
            continue
        if message.error():
            check(message.error().code() == KafkaError._PARTITION_EOF, f"{message.error()}")
            ended.add(message.partition())
        else:
            values.append(message.value())
    one.close()
    return values


def round_trip(bootstrap, admin, count):
    topic = f"confluent-plain-{RUN}"
    create(admin, topic)
    failures = []

    def delivered(error, message):
        if error is not None:
            failures.append(error)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 1000000,
        }
    )
    for number in range(count):
        producer.produce(
            topic,
            key=f"key-{number % 97}",
            value=f"value-{number}",
            headers=[("number", str(number)), ("number", b"again")],
            timestamp=1_500_000_000_000 + number,
            on_delivery=delivered,
        )
        if number % 1000 == 0:
            producer.poll(0)
    check(producer.flush(PATIENCE_S) == 0, "not everything was delivered in time")
    check(not failures, f"delivery failed: {failures[:3]}")

    group = f"confluent-group-{RUN}"
    members = [consumer(bootstrap, group) for _ in range(2)]
    for member in members:
        member.subscribe([topic])
    # Both members hold partitions before anything is read, so that none is read twice.
    deadline = time.monotonic() + PATIENCE_S
    while sorted(len(member.assignment()) for member in members) != [2, 2]:
        check(time.monotonic() < deadline, "the group did not settle in time")
        for member in members:
            early = member.poll(0.1)
            if early is not None and early.error() is None:
                member.seek(TopicPartition(topic, early.partition(), early.offset()))
    messages = read(members, count)
    seen = {}
    for message in messages:
        number = int(message.value().decode().removeprefix("value-"))
        check(number not in seen, f"value {number} came twice")
        seen[number] = message.partition()
        check(message.key() == f"key-{number % 97}".encode(), f"key of {number}")
        headers = [("number", str(number).encode()), ("number", b"again")]
        check(message.headers() == headers, f"headers of {number}: {message.headers()}")
        check(message.timestamp()[1] == 1_500_000_000_000 + number, f"timestamp of {number}")
    check(len(seen) == count, f"{len(seen)} of {count} values")
    check(len(set(seen.values())) == PARTITIONS, "some partitions stayed empty")

    for member in members:
        member.commit(asynchronous=False)
        member.close()
    late = consumer(bootstrap, group, **{"enable.partition.eof": True})
    late.subscribe([topic])
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    committed = sum(position.offset for position in late.committed(partitions, PATIENCE_S))
    check(committed == count, f"committed offsets add up to {committed}")
    ended, deadline = set(), time.monotonic() + PATIENCE_S
    while len(ended) < PARTITIONS:
        check(time.monotonic() < deadline, "the late consumer did not reach the end")
        message = late.poll(0.2)
        if message is not None and message.error():
            check(message.error().code() == KafkaError._PARTITION_EOF, f"{message.error()}")
            ended.add(message.partition())
        else:
            check(message is None, "the late consumer read what was committed")
    late.close()
    return topic


def transactions(bootstrap, admin, count):
    topic = f"confluent-transactions-{RUN}"
    create(admin, topic)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"tx-{RUN}"})
    producer.init_transactions(PATIENCE_S)
    kept, written = set(), set()
    size = max(1, count // 20)
    for number in range(20):
        producer.begin_transaction()
        values = {f"{number}-{index}".encode() for index in range(size)}
        for index, value in enumerate(values):
            producer.produce(topic, value=value, partition=index % PARTITIONS)
            producer.poll(0)
        check(producer.flush(PATIENCE_S) == 0, "not everything was delivered in time")
        written |= values
        if number % 3 == 2:
            producer.abort_transaction(PATIENCE_S)
        else:
            producer.commit_transaction(PATIENCE_S)
            kept |= values
    committed = read_to_end(bootstrap, topic, "read_committed")
    check(len(committed) == len(kept), f"{len(committed)} committed records, not {len(kept)}")
    check(set(committed) == kept, "read_committed saw other records")
    everything = read_to_end(bootstrap, topic, "read_uncommitted")
    check(sorted(everything) == sorted(written), "read_uncommitted saw other records")


def exactly_once(bootstrap, admin, source, count):
    target = f"confluent-doubled-{RUN}"
    create(admin, target)
    transactional_id = f"loop-{RUN}"
    group = f"loop-group-{RUN}"
    fenced = None
    done = 0
    reader = consumer(bootstrap, group, **{"isolation.level": "read_committed"})
    reader.subscribe([source])
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id})
    producer.init_transactions(PATIENCE_S)
    batches = 0
    while done < count:
        messages = read([reader], min(count - done, max(1, count // 10)))
        producer.begin_transaction()
        for message in messages:
            producer.produce(target, key=message.key(), value=message.value())
            producer.poll(0)
        producer.send_offsets_to_transaction(
            reader.position(reader.assignment()), reader.consumer_group_metadata(), PATIENCE_S
        )
        batches += 1
        if batches % 4 == 2:
            # Nothing of this happened: go back to what is committed.
            producer.abort_transaction(PATIENCE_S)
            for position in reader.committed(reader.assignment(), PATIENCE_S):
                position.offset = max(position.offset, 0)
                reader.seek(position)
            continue
        if batches == 5:
            # A second instance takes over: the first must not commit any more.
            fenced, producer = producer, Producer(
                {"bootstrap.servers": bootstrap, "transactional.id": transactional_id}
            )
            producer.init_transactions(PATIENCE_S)
            try:
                fenced.commit_transaction(PATIENCE_S)
                fail("a fenced producer has committed")
            except KafkaException as error:
                check(error.args[0].fatal(), f"the fenced producer got {error}")
            for position in reader.committed(reader.assignment(), PATIENCE_S):
                position.offset = max(position.offset, 0)
                reader.seek(position)
            continue
        producer.commit_transaction(PATIENCE_S)
        done += len(messages)
    reader.close()
    result = read_to_end(bootstrap, target, "read_committed")
    check(len(result) == count, f"{len(result)} results, not {count}")
    check(len(set(result)) == count, "some results came twice")
    check(fenced is not None, "the loop was too short to be fenced")


def new_protocol(bootstrap, topic, count):
    group = f"confluent-848-{RUN}"
    members = [consumer_protocol(bootstrap, group) for _ in range(2)]
    for member in members:
        member.subscribe([topic])
    settle(members, [2, 2])
    values = [message.value() for message in read(members, count)]
    check(len(set(values)) == count, f"{len(set(values))} of {count} values")
    for member in members:
        member.commit(asynchronous=False)
    members.pop().close()
    settle(members, [PARTITIONS])
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    committed = sum(position.offset for position in members[0].committed(partitions, PATIENCE_S))
    check(committed == count, f"committed offsets add up to {committed}")
    members.pop().close()

    follower = consumer_protocol(bootstrap, f"confluent-848-pattern-{RUN}")
    follower.subscribe([f"^confluent-plain-{RUN}"])
    settle([follower], [PARTITIONS])
    follower.close()


def migration(bootstrap, topic):
    """Classic, both, new, both, classic: the partitions are shared all the way."""
    group = f"confluent-migration-{RUN}"
    strategy = {"partition.assignment.strategy": "cooperative-sticky"}
    classic = consumer(bootstrap, group, **strategy)
    classic.subscribe([topic])
    settle([classic], [PARTITIONS])
    new = consumer_protocol(bootstrap, group)
    new.subscribe([topic])
    settle([classic, new], [2, 2])
    classic.close()
    settle([new], [PARTITIONS])
    again = consumer(bootstrap, group, **strategy)
    again.subscribe([topic])
    settle([new, again], [2, 2])
    new.close()
    settle([again], [PARTITIONS])
    again.close()


def main():
    if len(sys.argv) not in (2, 3):
        fail("usage: confluent_roundtrip.py BOOTSTRAP [RECORDS]")
    bootstrap = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 100_000
    admin = AdminClient({"bootstrap.servers": bootstrap})
    version = f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"
    print(json.dumps({"client": "confluent-kafka", "language": "Python", "version": version}), flush=True)
    source = round_trip(bootstrap, admin, count)
    for what in ("produce", "consume", "groups", "offsets"):
        checked(what, count)
    transactions(bootstrap, admin, count)
    exactly_once(bootstrap, admin, source, count)
    checked("transactions", count)
    new_protocol(bootstrap, source, count)
    checked("consumer protocol", count)
    migration(bootstrap, source)
    checked("migration of groups", count)
    for topic, future in admin.delete_topics(
        [name for name in admin.list_topics(timeout=PATIENCE_S).topics if name.endswith(RUN)]
    ).items():
        future.result(PATIENCE_S)
    checked("admin", count)


main()
