// Round-trips records through a broker with Apache Kafka's own client.
//
// Usage: RoundTrip BOOTSTRAP RECORDS
//
// Each check that holds is told as a line of JSON; the first that does not ends the program with a message and a status
// that is not zero. Every wait ends with an answer or with a time-out that only something broken reaches.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

public final class RoundTrip {
    private static final int PARTITIONS = 4;
    private static final Duration PATIENCE = Duration.ofMinutes(2);
    private static final Duration POLL = Duration.ofMillis(200);
    private static final long FIRST_TIMESTAMP_MS = 1_500_000_000_000L;

    private final String bootstrap;
    private final int count;
    private final String run = ProcessHandle.current().pid() + "-" + System.currentTimeMillis();
    private final Admin admin;

    private RoundTrip(String bootstrap, int count) {
        this.bootstrap = bootstrap;
        this.count = count;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 2) {
            System.err.println("usage: RoundTrip BOOTSTRAP RECORDS");
            System.exit(2);
        }
        System.out.printf("{\"client\": \"kafka-clients\", \"language\": \"Java\", \"version\": \"%s\"}%n", AppInfoParser.getVersion());
        try {
            new RoundTrip(arguments[0], Integer.parseInt(arguments[1])).everything();
        } catch (Wrong wrong) {
            System.err.println("RoundTrip: " + wrong.getMessage());
            System.exit(1);
        } catch (KafkaException error) {
            System.err.println("RoundTrip: the client has thrown");
            error.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    private void everything() throws Exception {
        String topic = create("java-plain-" + run);
        for (String compression : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            produce(topic, compression);
        }
        checked("produce", "all codecs, idempotent, keys, headers and timestamps");
        consume(topic);
        checked("consume", "every record once, in order per partition");
        group(topic, Map.of("group.protocol", "classic", "session.timeout.ms", 10_000));
        checked("groups", "two members, a handover, committed offsets");
        offsets(topic);
        checked("offsets", "beginning, end, by timestamp, of a group");
        transactions();
        exactlyOnce(topic);
        checked("transactions", "commits, aborts, offsets within transactions, fencing");
        administer(topic);
        checked("admin", "topics, configurations, groups, records, cluster");
        admin.close();
    }

    // ---- records

    private void produce(String topic, String compression) throws Exception {
        int codec = List.of("none", "gzip", "snappy", "lz4", "zstd").indexOf(compression);
        Map<String, Object> settings = Map.of("compression.type", compression, "linger.ms", 5, "batch.size", 65_536);
        try (KafkaProducer<String, String> producer = producer(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int number = codec; number < count; number += 5) {
                ProducerRecord<String, String> record = new ProducerRecord<>(
                    topic, number % PARTITIONS, FIRST_TIMESTAMP_MS + number, "key-" + number % 97, "value-" + number);
                record.headers().add("number", bytes(Integer.toString(number))).add("number", bytes("again"));
                sent.add(producer.send(record));
            }
            for (Future<RecordMetadata> future : sent) {
                check(future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS).offset() >= 0, "a record without an offset");
            }
        }
    }

    private int verify(ConsumerRecord<String, String> record) {
        int number = Integer.parseInt(record.value().substring("value-".length()));
        check(record.partition() == number % PARTITIONS, "the partition of " + number);
        check(record.key().equals("key-" + number % 97), "the key of " + number);
        check(record.timestamp() == FIRST_TIMESTAMP_MS + number, "the timestamp of " + number);
        List<String> headers = new ArrayList<>();
        record.headers().forEach(header -> headers.add(header.key() + "=" + new String(header.value(), StandardCharsets.UTF_8)));
        check(headers.equals(List.of("number=" + number, "number=again")), "the headers of " + number + ": " + headers);
        return number;
    }

    private void consume(String topic) {
        Set<Integer> seen = new HashSet<>();
        Map<Integer, Long> last = new HashMap<>();
        for (ConsumerRecord<String, String> record : read(topic, "read_uncommitted")) {
            check(seen.add(verify(record)), record.value() + " came twice");
            Long before = last.put(record.partition(), record.offset());
            check(before == null || before < record.offset(), "offsets go back");
        }
        check(seen.size() == count, seen.size() + " of " + count + " records");
    }

    private List<ConsumerRecord<String, String>> read(String topic, String isolation) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = consumer(null, Map.of("isolation.level", isolation))) {
            consumer.assign(partitions(topic));
            consumer.seekToBeginning(partitions(topic));
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions(topic));
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                check(System.nanoTime() < deadline, "the end of " + topic + " was not reached in time");
                consumer.poll(POLL).forEach(records::add);
            }
        }
        return records;
    }

    // ---- groups

    private void group(String topic, Map<String, Object> settings) {
        String group = "java-group-" + run;
        List<KafkaConsumer<String, String>> members = List.of(consumer(group, settings), consumer(group, settings));
        members.forEach(member -> member.subscribe(List.of(topic)));
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!members.stream().allMatch(member -> member.assignment().size() == PARTITIONS / 2)) {
            check(System.nanoTime() < deadline, "the group did not settle in time");
            members.forEach(member -> member.poll(POLL));
        }
        members.forEach(member -> member.seekToBeginning(member.assignment()));
        Set<Integer> seen = new HashSet<>();
        while (seen.size() < count) {
            check(System.nanoTime() < deadline, seen.size() + " of " + count + " records came in time");
            for (KafkaConsumer<String, String> member : members) {
                for (ConsumerRecord<String, String> record : member.poll(POLL)) {
                    check(seen.add(verify(record)), record.value() + " came twice in the group");
                }
            }
        }
        members.forEach(KafkaConsumer::commitSync);
        members.get(0).close();
        // The one that stays takes over everything, and nothing is left to read.
        while (members.get(1).assignment().size() < PARTITIONS) {
            check(System.nanoTime() < deadline, "the partitions of a member that left were not taken over");
            check(members.get(1).poll(POLL).isEmpty(), "a committed record came again");
        }
        members.get(1).close();
    }

    private void offsets(String topic) throws Exception {
        List<TopicPartition> partitions = partitions(topic);
        try (KafkaConsumer<String, String> consumer = consumer(null, Map.of())) {
            check(sum(consumer.beginningOffsets(partitions).values()) == 0, "the beginning");
            check(sum(consumer.endOffsets(partitions).values()) == count, "the end");
            consumer.assign(partitions);
            long middle = FIRST_TIMESTAMP_MS + count / 2;
            Map<TopicPartition, Long> wanted = partitions.stream().collect(Collectors.toMap(p -> p, p -> middle));
            for (Map.Entry<TopicPartition, OffsetAndTimestamp> found : consumer.offsetsForTimes(wanted).entrySet()) {
                check(found.getValue() != null && found.getValue().timestamp() >= middle, "the offset of a timestamp");
            }
        }
        Map<TopicPartition, OffsetAndMetadata> committed =
            get(admin.listConsumerGroupOffsets("java-group-" + run).partitionsToOffsetAndMetadata());
        check(sum(committed.values().stream().map(OffsetAndMetadata::offset).toList()) == count, "committed " + committed);
    }

    // ---- transactions

    private void transactions() throws Exception {
        String topic = create("java-transactions-" + run);
        Set<String> kept = new HashSet<>();
        Set<String> written = new HashSet<>();
        Set<String> uncertain = new HashSet<>();
        Map<String, Object> settings = Map.of("transactional.id", "java-tx-" + run, "linger.ms", 5);
        try (KafkaProducer<String, String> producer = producer(settings)) {
            producer.initTransactions();
            for (int transaction = 0; transaction < 20; transaction++) {
                producer.beginTransaction();
                Set<String> values = new HashSet<>();
                for (int index = 0; index < Math.max(1, count / 20); index++) {
                    String value = transaction + "-" + index;
                    values.add(value);
                    producer.send(new ProducerRecord<>(topic, index % PARTITIONS, null, value));
                }
                written.addAll(values);
                if (transaction % 3 == 2) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                    kept.addAll(values);
                }
            }
            // An abort that finds its record still in the client: it comes to the broker without a write before it, often
            // while the markers of the last transaction are on their way.
            for (int transaction = 20; transaction < 120; transaction++) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, transaction + "-late"));
                if (transaction % 2 == 0) {
                    producer.abortTransaction();
                    uncertain.add(transaction + "-late");
                } else {
                    producer.commitTransaction();
                    kept.add(transaction + "-late");
                    written.add(transaction + "-late");
                }
            }
        }
        same(read(topic, "read_committed"), kept, "read_committed");
        List<ConsumerRecord<String, String>> everything = read(topic, "read_uncommitted");
        everything.removeIf(record -> uncertain.contains(record.value()));
        same(everything, written, "read_uncommitted");
    }

    private void exactlyOnce(String source) throws Exception {
        String target = create("java-doubled-" + run);
        String id = "java-loop-" + run;
        KafkaProducer<String, String> producer = producer(Map.of("transactional.id", id));
        producer.initTransactions();
        int batches = 0;
        boolean fenced = false;
        try (KafkaConsumer<String, String> consumer =
                consumer("java-loop-group-" + run, Map.of("isolation.level", "read_committed", "max.poll.records", Math.max(1, count / 10)))) {
            consumer.subscribe(List.of(source));
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            int done = 0;
            while (done < count) {
                check(System.nanoTime() < deadline, done + " of " + count + " records were copied in time");
                Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
                int taken = 0;
                producer.beginTransaction();
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    producer.send(new ProducerRecord<>(target, record.key(), record.value()));
                    positions.put(new TopicPartition(source, record.partition()), new OffsetAndMetadata(record.offset() + 1));
                    taken++;
                }
                if (taken == 0) {
                    producer.abortTransaction();
                    continue;
                }
                producer.sendOffsetsToTransaction(positions, consumer.groupMetadata());
                batches++;
                if (batches == 2) {
                    producer.abortTransaction();
                    rewind(consumer);
                } else if (batches == 3) {
                    // A second instance takes over: the first must not commit any more.
                    KafkaProducer<String, String> zombie = producer;
                    producer = producer(Map.of("transactional.id", id));
                    producer.initTransactions();
                    fenced = isFenced(zombie);
                    rewind(consumer);
                } else {
                    producer.commitTransaction();
                    done += taken;
                }
            }
        }
        producer.close();
        check(fenced, "a fenced producer has committed");
        Set<String> expected = IntStream.range(0, count).mapToObj(number -> "value-" + number).collect(Collectors.toSet());
        same(read(target, "read_committed"), expected, "the copy");
    }

    private static boolean isFenced(KafkaProducer<String, String> zombie) {
        try {
            zombie.commitTransaction();
            return false;
        } catch (ProducerFencedException | InvalidProducerEpochException expected) {
            return true;
        } catch (KafkaException expected) {
            return expected.getCause() instanceof ProducerFencedException
                || expected.getCause() instanceof InvalidProducerEpochException;
        } finally {
            zombie.close(Duration.ZERO);
        }
    }

    private static void rewind(KafkaConsumer<String, String> consumer) {
        Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
        for (TopicPartition partition : consumer.assignment()) {
            OffsetAndMetadata offset = committed.get(partition);
            consumer.seek(partition, offset == null ? 0 : offset.offset());
        }
    }

    // ---- administration

    private void administer(String topic) throws Exception {
        check(get(admin.describeCluster().nodes()).size() >= 1, "no brokers");
        check(get(admin.listTopics().names()).contains(topic), "the topic is not listed");
        check(get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size() == PARTITIONS, "partitions");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        String policy = get(admin.describeConfigs(List.of(resource)).all()).get(resource).get("cleanup.policy").value();
        check(policy.equals("delete"), "cleanup.policy is " + policy);
        String group = "java-group-" + run;
        ConsumerGroupDescription description = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        check(description.groupState() == GroupState.EMPTY, "the group is " + description.groupState());
        check(get(admin.listGroups().all()).stream().anyMatch(listing -> listing.groupId().equals(group)), "the group is not listed");
        TopicPartition first = new TopicPartition(topic, 0);
        get(admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(10))).all());
        check(get(admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all()).get(first).offset() == 10, "the log start");
        get(admin.deleteConsumerGroups(List.of(group)).all());
        Collection<String> ours = get(admin.listTopics().names()).stream().filter(name -> name.endsWith(run)).toList();
        get(admin.deleteTopics(ours).all());
        check(get(admin.listTopics().names()).stream().noneMatch(ours::contains), "topics outlive their deletion");
    }

    private String create(String topic) throws Exception {
        get(admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1))).all());
        return topic;
    }

    // ---- small things

    private KafkaProducer<String, String> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        all.put(ProducerConfig.ACKS_CONFIG, "all");
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(String group, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        all.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        all.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        all.putIfAbsent(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 5_000);
        if (group != null) {
            all.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        }
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private static List<TopicPartition> partitions(String topic) {
        return IntStream.range(0, PARTITIONS).mapToObj(index -> new TopicPartition(topic, index)).toList();
    }

    private static void same(List<ConsumerRecord<String, String>> records, Set<String> expected, String who) {
        Set<String> values = records.stream().map(ConsumerRecord::value).collect(Collectors.toSet());
        check(records.size() == values.size(), who + ": some records came twice");
        check(values.equals(expected), who + " saw " + values.size() + " records, not " + expected.size());
    }

    private static <T> T get(Future<T> future) throws Exception {
        try {
            return future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException error) {
            throw new Wrong(error.getCause().toString());
        }
    }

    private static long sum(Collection<Long> numbers) {
        return numbers.stream().mapToLong(Long::longValue).sum();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private void checked(String what, String how) {
        System.out.printf("{\"checked\": \"%s\", \"records\": %d, \"how\": \"%s\"}%n", what, count, how);
    }

    private static void check(boolean holds, String message) {
        if (!holds) {
            throw new Wrong(message);
        }
    }

    private static final class Wrong extends RuntimeException {
        Wrong(String message) {
            super(message);
        }
    }
}
