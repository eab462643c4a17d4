// Round-trips records through a broker with KafkaJS: an idempotent producer, a group of two, offsets, transactions with
// aborts and with offsets in them, administration.

const { CompressionTypes, Kafka, logLevel } = require('kafkajs')
const { PARTITIONS, RUN, FIRST_TIMESTAMP_MS, check, checked, record, verify, slices, until, main } = require('./checks.cjs')

async function produce (kafka, topic, count) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const numbers of slices(count, 2_000)) {
    const messages = numbers.map(record).map(({ partition, key, value, header, timestamp }) => ({
      partition, key, value, headers: { number: header }, timestamp: String(timestamp)
    }))
    await producer.send({ topic, acks: -1, compression: CompressionTypes.GZIP, messages })
  }
  await producer.disconnect()
}

/** Starts a member that hands every message to `take`; gives what can be asked of it. */
async function member (kafka, groupId, topic, take, settings = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000, heartbeatInterval: 500, ...settings })
  const state = { consumer, assigned: null }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { state.assigned = payload.memberAssignment[topic] ?? [] })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: PARTITIONS,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) break
        take(batch.partition, message)
        resolveOffset(message.offset)
      }
      await heartbeat()
    }
  })
  return state
}

function text (partition, message) {
  return {
    partition,
    key: message.key.toString(),
    value: message.value.toString(),
    header: message.headers.number?.toString(),
    timestamp: Number(message.timestamp)
  }
}

async function group (kafka, admin, topic, count) {
  const groupId = `kafkajs-group-${RUN}`
  const seen = new Map()
  let settled = false
  const take = (partition, message) => {
    // Until both hold their part, a record may come to either; each partition is read anew after that.
    if (!settled) return
    const number = verify(text(partition, message))
    check(!seen.has(number), `value ${number} came twice`)
    seen.set(number, [partition, Number(message.offset)])
  }
  const members = []
  for (let index = 0; index < 2; index++) members.push(await member(kafka, groupId, topic, take))
  await until(() => members.every(({ assigned }) => assigned?.length === PARTITIONS / 2), 'a settled group')
  settled = true
  for (const { consumer, assigned } of members) {
    for (const partition of assigned) consumer.seek({ topic, partition, offset: '0' })
  }
  await until(() => seen.size === count, () => `all records (${seen.size} of ${count})`)
  const next = Array(PARTITIONS).fill(0)
  for (const [partition, offset] of seen.values()) next[partition] = Math.max(next[partition], offset + 1)
  for (const { consumer, assigned } of members) {
    await consumer.commitOffsets(assigned.map(partition => ({ topic, partition, offset: String(next[partition]) })))
    await consumer.disconnect()
  }
  const late = await member(kafka, groupId, topic, () => { throw new Error('a committed record came again') })
  await until(() => late.assigned?.length === PARTITIONS, 'the assignment of a later member')
  await late.consumer.disconnect()
  const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] })
  const committed = partitions.reduce((sum, { offset }) => sum + Number(offset), 0)
  check(committed === count, `committed offsets add up to ${committed}`)
  return groupId
}

async function offsets (admin, topic, count) {
  const ends = await admin.fetchTopicOffsets(topic)
  const sum = name => ends.reduce((total, end) => total + Number(end[name]), 0)
  check(sum('low') === 0, 'the beginning')
  check(sum('high') === count, `the ends add up to ${sum('high')}`)
  const middle = await admin.fetchTopicOffsetsByTimestamp(topic, FIRST_TIMESTAMP_MS + Math.floor(count / 2))
  const after = middle.reduce((total, { offset }) => total + Number(offset), 0)
  check(Math.abs(after - count / 2) <= PARTITIONS, `offsets by timestamp add up to ${after}`)
}

/** Everything in a topic up to its present end, as a group with one member sees it. */
async function read (kafka, admin, topic, readUncommitted, expected) {
  const values = []
  const { consumer } = await member(kafka, `kafkajs-read-${readUncommitted}-${topic}`, topic,
    (_, message) => values.push(message.value.toString()), { readUncommitted })
  await until(() => values.length >= expected, () => `${values.length} of ${expected} records of ${topic}`)
  await consumer.disconnect()
  return values
}

async function transactions (kafka, admin, source, count) {
  const topic = `kafkajs-transactions-${RUN}`
  const groupId = `kafkajs-loop-${RUN}`
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] })
  const producer = kafka.producer({ transactionalId: `kafkajs-${RUN}`, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const kept = []
  let written = 0
  for (let number = 0; number < 20; number++) {
    const values = Array.from({ length: Math.max(1, Math.floor(count / 20)) }, (_, index) => `${number}-${index}`)
    const transaction = await producer.transaction()
    const messages = values.map((value, index) => ({ partition: index % PARTITIONS, value }))
    await transaction.send({ topic, messages })
    await transaction.sendOffsets({
      consumerGroupId: groupId, topics: [{ topic: source, partitions: [{ partition: 0, offset: String(number) }] }]
    })
    written += values.length
    if (number % 3 === 2) {
      await transaction.abort()
    } else {
      await transaction.commit()
      kept.push(...values)
    }
  }
  await producer.disconnect()
  const committed = await read(kafka, admin, topic, false, kept.length)
  check(committed.length === kept.length, `read committed: ${committed.length} records, not ${kept.length}`)
  const unseen = new Set(kept)
  check(committed.every(value => unseen.delete(value)), 'read committed saw other records, or some twice')
  const everything = await read(kafka, admin, topic, true, written)
  check(everything.length === written, `read uncommitted: ${everything.length} records, not ${written}`)
  const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [source] })
  const offset = partitions.find(({ partition }) => partition === 0)?.offset
  check(offset === '19', `the offset of the last committed transaction is ${offset}`)
}

async function administer (admin, topic, groupId) {
  check((await admin.describeCluster()).brokers.length >= 1, 'no brokers')
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  check(topics[0].partitions.length === PARTITIONS, 'partitions')
  const { groups } = await admin.describeGroups([groupId])
  check(groups[0].state === 'Empty', `the group is ${groups[0].state}`)
  check((await admin.listGroups()).groups.some(group => group.groupId === groupId), 'the group is not listed')
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic }] })
  const policy = resources[0].configEntries.find(({ configName }) => configName === 'cleanup.policy').configValue
  check(policy === 'delete', `cleanup.policy is ${policy}`)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '10' }] })
  check((await admin.fetchTopicOffsets(topic)).find(({ partition }) => partition === 0).low === '10', 'the log start')
  await admin.deleteGroups([groupId])
  const ours = (await admin.listTopics()).filter(name => name.endsWith(RUN))
  await admin.deleteTopics({ topics: ours })
  check(!(await admin.listTopics()).some(name => ours.includes(name)), 'topics outlive their deletion')
}

async function everything (bootstrap, count) {
  const kafka = new Kafka({ clientId: 'round-trip', brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const topic = `kafkajs-plain-${RUN}`
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] })
  await produce(kafka, topic, count)
  checked('produce', count, 'idempotent, gzip, keys, headers and timestamps')
  const groupId = await group(kafka, admin, topic, count)
  checked('consume', count, 'every record once')
  checked('groups', count, 'two members, committed offsets, a later member')
  await offsets(admin, topic, count)
  checked('offsets', count, 'beginning, end, by timestamp, of a group')
  await transactions(kafka, admin, topic, count)
  checked('transactions', count, 'commits, aborts, offsets within transactions')
  await administer(admin, topic, groupId)
  checked('admin', count, 'topics, configurations, groups, records, cluster')
  await admin.disconnect()
}

main('kafkajs', require('kafkajs/package.json').version, everything)
