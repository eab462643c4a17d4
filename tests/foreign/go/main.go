// Round-trips records through a broker with franz-go: an idempotent producer, a group of two, offsets, transactions with
// aborts, a loop that consumes, copies and commits in one transaction, administration.
//
// Usage: round-trip BOOTSTRAP RECORDS
//
// Each check that holds is told as a line of JSON; the first that does not ends the program with a message.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions       = 4
	patience         = 2 * time.Minute
	firstTimestampMs = int64(1_500_000_000_000)
)

var run = fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixMilli())

func check(holds bool, format string, arguments ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, "franz-go: "+format+"\n", arguments...)
		os.Exit(1)
	}
}

func must(err error, what string) {
	check(err == nil, "%s: %v", what, err)
}

func tell(values map[string]any) {
	line, err := json.Marshal(values)
	must(err, "a line of JSON")
	fmt.Println(string(line))
}

type trip struct {
	ctx       context.Context
	bootstrap string
	count     int
	admin     *kadm.Client
}

func (t *trip) checked(what, how string) {
	tell(map[string]any{"checked": what, "records": t.count, "how": how})
}

func (t *trip) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(t.bootstrap)}, options...)...)
	must(err, "a client")
	return client
}

func (t *trip) create(topic string) string {
	answer, err := t.admin.CreateTopic(t.ctx, partitions, 1, nil, topic)
	must(err, "create "+topic)
	must(answer.Err, "create "+topic)
	return topic
}

func record(topic string, number int) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Partition: int32(number % partitions),
		Key: fmt.Appendf(nil, "key-%d", number%97), Value: fmt.Appendf(nil, "value-%d", number),
		Timestamp: time.UnixMilli(firstTimestampMs + int64(number)),
		Headers:   []kgo.RecordHeader{{Key: "number", Value: []byte(strconv.Itoa(number))}},
	}
}

func verify(read *kgo.Record) int {
	number, err := strconv.Atoi(strings.TrimPrefix(string(read.Value), "value-"))
	must(err, "a value")
	wrote := record(read.Topic, number)
	check(read.Partition == wrote.Partition, "the partition of %d", number)
	check(string(read.Key) == string(wrote.Key), "the key of %d", number)
	check(read.Timestamp.Equal(wrote.Timestamp), "the timestamp of %d: %v", number, read.Timestamp)
	check(len(read.Headers) == 1 && string(read.Headers[0].Value) == strconv.Itoa(number), "the header of %d", number)
	return number
}

func (t *trip) produce(topic string) {
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for index, codec := range codecs {
		client := t.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
		// In the order of their timestamps, so that an offset by timestamp is the middle of the log.
		for number := index * t.count / len(codecs); number < (index+1)*t.count/len(codecs); number++ {
			client.Produce(t.ctx, record(topic, number), func(_ *kgo.Record, err error) { must(err, "produce") })
		}
		must(client.Flush(t.ctx), "flush")
		client.Close()
	}
}

// The partitions of each member, as the coordinator knows them.
func (t *trip) shares(group string) []int {
	described, err := t.admin.DescribeGroups(t.ctx, group)
	must(err, "describe the group")
	var shares []int
	for _, member := range described[group].Members {
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			share := 0
			for _, topic := range assigned.Topics {
				share += len(topic.Partitions)
			}
			shares = append(shares, share)
		}
	}
	return shares
}

func (t *trip) group(topic string) string {
	group := "franz-group-" + run
	member := func() *kgo.Client {
		return t.client(
			kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.SessionTimeout(10*time.Second),
			kgo.HeartbeatInterval(500*time.Millisecond), kgo.Balancers(kgo.RangeBalancer()),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		)
	}
	members := []*kgo.Client{member(), member()}
	for shares := t.shares(group); len(shares) != 2 || shares[0] != 2 || shares[1] != 2; shares = t.shares(group) {
		check(t.ctx.Err() == nil, "the group did not settle in time: %v", shares)
		for _, one := range members {
			t.pollBriefly(one, func(*kgo.Record) {})
		}
	}
	for _, one := range members {
		one.SetOffsets(t.beginning(topic, one))
	}
	seen := map[int]bool{}
	for len(seen) < t.count {
		check(t.ctx.Err() == nil, "%d of %d records came in time", len(seen), t.count)
		for _, one := range members {
			t.pollBriefly(one, func(read *kgo.Record) {
				number := verify(read)
				check(!seen[number], "value %d came twice", number)
				seen[number] = true
			})
		}
	}
	for _, one := range members {
		must(one.CommitUncommittedOffsets(t.ctx), "commit")
		one.Close()
	}
	late := member()
	for shares := t.shares(group); len(shares) != 1 || shares[0] != partitions; shares = t.shares(group) {
		check(t.ctx.Err() == nil, "the later member got nothing in time: %v", shares)
		t.pollBriefly(late, func(*kgo.Record) { check(false, "a committed record came again") })
	}
	late.Close()
	return group
}

func (t *trip) beginning(topic string, member *kgo.Client) map[string]map[int32]kgo.EpochOffset {
	offsets := map[int32]kgo.EpochOffset{}
	for partition := range member.UncommittedOffsets()[topic] {
		offsets[partition] = kgo.EpochOffset{Epoch: -1, Offset: 0}
	}
	return map[string]map[int32]kgo.EpochOffset{topic: offsets}
}

func (t *trip) pollBriefly(client *kgo.Client, take func(*kgo.Record)) {
	brief, cancel := context.WithTimeout(t.ctx, 200*time.Millisecond)
	defer cancel()
	fetches := client.PollFetches(brief)
	fetches.EachError(func(topic string, partition int32, err error) {
		check(err == context.DeadlineExceeded, "%s-%d: %v", topic, partition, err)
	})
	fetches.EachRecord(take)
}

func (t *trip) offsets(topic, group string) {
	sum := func(listed kadm.ListedOffsets, err error) (total int64) {
		must(err, "offsets")
		must(listed.Error(), "offsets")
		listed.Each(func(offset kadm.ListedOffset) { total += offset.Offset })
		return total
	}
	check(sum(t.admin.ListStartOffsets(t.ctx, topic)) == 0, "the beginning")
	check(sum(t.admin.ListEndOffsets(t.ctx, topic)) == int64(t.count), "the end")
	middle := sum(t.admin.ListOffsetsAfterMilli(t.ctx, firstTimestampMs+int64(t.count/2), topic))
	check(middle-int64(t.count/2) <= partitions && int64(t.count/2)-middle <= partitions, "offsets by timestamp: %d", middle)
	fetched, err := t.admin.FetchOffsets(t.ctx, group)
	must(err, "committed offsets")
	total := int64(0)
	fetched.Each(func(offset kadm.OffsetResponse) { total += offset.At })
	check(total == int64(t.count), "committed offsets add up to %d", total)
}

func (t *trip) read(topic string, isolation kgo.IsolationLevel, expected int) map[string]bool {
	client := t.client(
		kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(isolation), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	defer client.Close()
	values := map[string]bool{}
	for len(values) < expected {
		check(t.ctx.Err() == nil, "%d of %d records of %s came in time", len(values), expected, topic)
		t.pollBriefly(client, func(read *kgo.Record) {
			check(!values[string(read.Value)], "%s came twice", read.Value)
			values[string(read.Value)] = true
		})
	}
	return values
}

func (t *trip) transactions() {
	topic := t.create("franz-transactions-" + run)
	client := t.client(kgo.TransactionalID("franz-tx-"+run), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	kept, written := map[string]bool{}, 0
	for number := range 20 {
		must(client.BeginTransaction(), "begin")
		for index := range max(1, t.count/20) {
			value := fmt.Sprintf("%d-%d", number, index)
			record := &kgo.Record{Topic: topic, Partition: int32(index % partitions), Value: []byte(value)}
			client.Produce(t.ctx, record, func(_ *kgo.Record, err error) { must(err, "produce") })
			written++
			if number%3 != 2 {
				kept[value] = true
			}
		}
		must(client.Flush(t.ctx), "flush")
		must(client.EndTransaction(t.ctx, kgo.TransactionEndTry(number%3 != 2)), "end")
	}
	client.Close()
	for value := range t.read(topic, kgo.ReadCommitted(), len(kept)) {
		check(kept[value], "read committed saw %s", value)
	}
	t.read(topic, kgo.ReadUncommitted(), written)
}

func (t *trip) exactlyOnce(source string) {
	target, id := t.create("franz-doubled-"+run), "franz-loop-"+run
	session := func() *kgo.GroupTransactSession {
		session, err := kgo.NewGroupTransactSession(
			kgo.SeedBrokers(t.bootstrap), kgo.TransactionalID(id), kgo.ConsumerGroup(id), kgo.ConsumeTopics(source),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.RequireStableFetchOffsets(),
		)
		must(err, "a session")
		return session
	}
	loop, batches := session(), 0
	for done := 0; done < t.count; {
		check(t.ctx.Err() == nil, "%d of %d records were copied in time", done, t.count)
		fetches := loop.PollRecords(t.ctx, max(1, t.count/10))
		must(fetches.Err(), "poll")
		must(loop.Begin(), "begin")
		fetches.EachRecord(func(read *kgo.Record) {
			copied := &kgo.Record{Topic: target, Key: read.Key, Value: read.Value}
			loop.Produce(t.ctx, copied, func(_ *kgo.Record, err error) {
				// What an abort finds in the client's buffers is not sent.
				check(err == nil || errors.Is(err, kgo.ErrAborting), "produce: %v", err)
			})
		})
		batches++
		// What is aborted is read again, because the session goes back to what is committed.
		committed, err := loop.End(t.ctx, kgo.TransactionEndTry(batches != 2))
		must(err, "end")
		check(committed == (batches != 2), "a transaction ended otherwise than it should")
		if committed {
			done += fetches.NumRecords()
		}
	}
	loop.Close()
	check(len(t.read(target, kgo.ReadCommitted(), t.count)) == t.count, "the copy")
}

func (t *trip) administer(topic, group string) {
	brokers, err := t.admin.ListBrokers(t.ctx)
	must(err, "brokers")
	check(len(brokers) >= 1, "no brokers")
	configs, err := t.admin.DescribeTopicConfigs(t.ctx, topic)
	must(err, "configurations")
	for _, config := range configs[0].Configs {
		check(config.Key != "cleanup.policy" || config.MaybeValue() == "delete", "cleanup.policy is %s", config.MaybeValue())
	}
	groups, err := t.admin.ListGroups(t.ctx)
	must(err, "groups")
	check(groups[group].Group == group, "the group is not listed")
	upto := kadm.Offsets{}
	upto.AddOffset(topic, 0, 10, -1)
	_, err = t.admin.DeleteRecords(t.ctx, upto)
	must(err, "delete records")
	starts, err := t.admin.ListStartOffsets(t.ctx, topic)
	must(err, "offsets")
	check(starts[topic][0].Offset == 10, "the log starts at %d", starts[topic][0].Offset)
	_, err = t.admin.DeleteGroup(t.ctx, group)
	must(err, "delete the group")
	topics, err := t.admin.ListTopics(t.ctx)
	must(err, "topics")
	var ours []string
	for name := range topics {
		if strings.HasSuffix(name, run) {
			ours = append(ours, name)
		}
	}
	deleted, err := t.admin.DeleteTopics(t.ctx, ours...)
	must(err, "delete topics")
	must(deleted.Error(), "delete topics")
}

func version() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "github.com/twmb/franz-go" {
				return strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return "unknown"
}

func main() {
	check(len(os.Args) == 3, "usage: round-trip BOOTSTRAP RECORDS")
	count, err := strconv.Atoi(os.Args[2])
	must(err, "RECORDS")
	tell(map[string]any{"client": "franz-go", "language": "Go", "version": version()})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t := &trip{ctx: ctx, bootstrap: os.Args[1], count: count}
	t.admin = kadm.NewClient(t.client())
	topic := t.create("franz-plain-" + run)
	t.produce(topic)
	t.checked("produce", "all codecs, idempotent, keys, headers and timestamps")
	group := t.group(topic)
	t.checked("consume", "every record once")
	t.checked("groups", "two members, committed offsets, a later member")
	t.offsets(topic, group)
	t.checked("offsets", "beginning, end, by timestamp, of a group")
	t.transactions()
	t.exactlyOnce(topic)
	t.checked("transactions", "commits, aborts, offsets within transactions")
	t.administer(topic, group)
	t.checked("admin", "topics, configurations, groups, records, brokers")
}
