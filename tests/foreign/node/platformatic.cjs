// Round-trips records through a broker with @platformatic/kafka: an idempotent producer, a group of two, offsets,
// transactions with aborts and with offsets in them, administration.

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { Admin, Consumer, Producer, stringDeserializers, stringSerializers } = require('@platformatic/kafka')
const { PARTITIONS, RUN, FIRST_TIMESTAMP_MS, check, checked, record, verify, slices, until, main } = require('./checks.cjs')

const READ_UNCOMMITTED = 0
const READ_COMMITTED = 1
const RESOURCE_TOPIC = 2
const EARLIEST = -2n
const LATEST = -1n
// One transaction only: of several that a producer aborts, this version of the client hides but the last in an answer.
const ABORTED = 10

let base

function consumer (groupId, settings = {}) {
  return new Consumer({
    ...base, groupId, deserializers: stringDeserializers, autocommit: false, sessionTimeout: 10_000, heartbeatInterval: 500,
    maxWaitTime: 500, ...settings
  })
}

function producer (settings = {}) {
  return new Producer({ ...base, idempotent: true, serializers: stringSerializers, ...settings })
}

function parts (member, topic) {
  return (member.assignments ?? []).find(assignment => assignment.topic === topic)?.partitions ?? []
}

async function produce (topic, count) {
  const writer = producer()
  for (const numbers of slices(count, 2_000)) {
    const messages = numbers.map(record).map(({ partition, key, value, header, timestamp }) => ({
      topic, partition, key, value, headers: { number: header }, timestamp: BigInt(timestamp)
    }))
    await writer.send({ messages, compression: 'gzip' })
  }
  await writer.close()
}

function text (message) {
  const { partition, key, value, headers, timestamp } = message
  return { partition, key, value, header: headers.get('number'), timestamp: Number(timestamp) }
}

async function group (topic, count) {
  const groupId = `platformatic-group-${RUN}`
  const members = [consumer(groupId), consumer(groupId)]
  for (const member of members) {
    member.topics.trackAll(topic)
    await member.joinGroup({})
  }
  await until(() => members.every(member => parts(member, topic).length === PARTITIONS / 2), 'a settled group')
  const seen = new Set()
  const next = Array(PARTITIONS).fill(0n)
  const streams = []
  for (const member of members) {
    const stream = await member.consume({ topics: [topic], mode: 'earliest' })
    stream.on('error', error => { throw error })
    stream.on('data', message => {
      const number = verify(text(message))
      check(!seen.has(number), `value ${number} came twice`)
      seen.add(number)
      next[message.partition] = message.offset + 1n
    })
    streams.push(stream)
  }
  await until(() => seen.size === count, () => `all records (${seen.size} of ${count})`)
  for (const [index, member] of members.entries()) {
    const offsets = parts(member, topic).map(partition => ({ topic, partition, offset: next[partition], leaderEpoch: -1 }))
    await member.commit({ offsets })
    await streams[index].close()
    await member.close()
  }
  const late = consumer(groupId)
  const rest = await late.consume({ topics: [topic], mode: 'committed', fallbackMode: 'fail' })
  rest.on('data', () => check(false, 'a committed record came again'))
  await until(() => parts(late, topic).length === PARTITIONS, 'the assignment of a later member')
  const partitions = Array.from({ length: PARTITIONS }, (_, index) => index)
  const committed = (await late.listCommittedOffsets({ topics: [{ topic, partitions }] })).get(topic)
  const sum = committed.reduce((total, offset) => total + Number(offset), 0)
  check(sum === count, `committed offsets add up to ${sum}`)
  await rest.close()
  await late.close()
  return groupId
}

async function offsets (admin, topic, count) {
  const sum = async timestamp => {
    const partitions = Array.from({ length: PARTITIONS }, (_, partitionIndex) => ({ partitionIndex, timestamp }))
    const [listed] = await admin.listOffsets({ topics: [{ name: topic, partitions }] })
    return listed.partitions.reduce((total, { offset }) => total + Number(offset), 0)
  }
  check(await sum(EARLIEST) === 0, 'the beginning')
  check(await sum(LATEST) === count, 'the end')
  const middle = await sum(BigInt(FIRST_TIMESTAMP_MS + Math.floor(count / 2)))
  check(Math.abs(middle - count / 2) <= PARTITIONS, `offsets by timestamp add up to ${middle}`)
}

async function read (topic, isolationLevel, expected) {
  const values = []
  const reader = consumer(`platformatic-read-${isolationLevel}-${topic}`, { isolationLevel })
  const stream = await reader.consume({ topics: [topic], mode: 'earliest' })
  stream.on('data', message => values.push(message.value))
  await until(() => values.length >= expected, () => `${values.length} of ${expected} records of ${topic}`)
  await stream.close()
  await reader.close()
  return values
}

async function transactions (admin, source, count) {
  const topic = `platformatic-transactions-${RUN}`
  const groupId = `platformatic-loop-${RUN}`
  await admin.createTopics({ topics: [topic], partitions: PARTITIONS, replicas: 1 })
  const writer = producer({ transactionalId: `platformatic-${RUN}` })
  const loop = consumer(groupId)
  const stream = await loop.consume({ topics: [source], mode: 'earliest', maxFetches: 1 })
  const input = []
  stream.on('data', message => input.push(message))
  await until(() => input.length >= 20, 'the input of the transactions')
  stream.pause()
  const kept = []
  const committed = new Map()
  let written = 0
  for (let number = 0; number < 20; number++) {
    const values = Array.from({ length: Math.max(1, Math.floor(count / 20)) }, (_, index) => `${number}-${index}`)
    const transaction = await writer.beginTransaction()
    await transaction.send({ messages: values.map((value, index) => ({ topic, partition: index % PARTITIONS, value })) })
    await transaction.addConsumer(loop)
    await transaction.addOffset(input[number])
    written += values.length
    if (number === ABORTED) {
      await transaction.abort()
    } else {
      await transaction.commit()
      kept.push(...values)
      committed.set(input[number].partition, input[number].offset)
    }
  }
  await writer.close()
  await stream.close()
  await loop.close()
  const seen = await read(topic, READ_COMMITTED, kept.length)
  check(seen.length === kept.length, `read committed: ${seen.length} records, not ${kept.length}`)
  const unseen = new Set(kept)
  check(seen.every(value => unseen.delete(value)), 'read committed saw other records, or some twice')
  const everything = await read(topic, READ_UNCOMMITTED, written)
  check(everything.length === written, `read uncommitted: ${everything.length} records, not ${written}`)
  const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [groupId] })
  for (const { partitionIndex, committedOffset } of topics[0].partitions) {
    const last = committed.get(partitionIndex)
    if (last === undefined) continue
    // The client commits the offset of the record itself or the one after it, by its version.
    check(committedOffset === last || committedOffset === last + 1n, `partition ${partitionIndex}: ${committedOffset}, not ${last}`)
  }
}

async function administer (admin, topic, groupId) {
  const groups = await admin.describeGroups({ groups: [groupId] })
  check(groups.get(groupId).state === 'EMPTY' || groups.get(groupId).state === 'Empty', `the group is ${groups.get(groupId).state}`)
  check((await admin.listGroups({})).has(groupId), 'the group is not listed')
  const [{ configs }] = await admin.describeConfigs({ resources: [{ resourceType: RESOURCE_TOPIC, resourceName: topic }] })
  check(configs.find(({ name }) => name === 'cleanup.policy').value === 'delete', 'cleanup.policy')
  const [deleted] = await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 10n }] }] })
  check(deleted.partitions[0].lowWatermark === 10n, 'the log start')
  await admin.deleteGroups({ groups: [groupId] })
  const ours = (await admin.listTopics()).filter(name => name.endsWith(RUN))
  await admin.deleteTopics({ topics: ours })
  check(!(await admin.listTopics()).some(name => ours.includes(name)), 'topics outlive their deletion')
}

async function everything (bootstrap, count) {
  base = { clientId: 'round-trip', bootstrapBrokers: [bootstrap], metadataMaxAge: 5_000 }
  const admin = new Admin(base)
  const topic = `platformatic-plain-${RUN}`
  await admin.createTopics({ topics: [topic], partitions: PARTITIONS, replicas: 1 })
  await produce(topic, count)
  checked('produce', count, 'idempotent, gzip, keys, headers and timestamps')
  const groupId = await group(topic, count)
  checked('consume', count, 'every record once')
  checked('groups', count, 'two members, committed offsets, a later member')
  await offsets(admin, topic, count)
  checked('offsets', count, 'beginning, end, by timestamp, of a group')
  await transactions(admin, topic, count)
  checked('transactions', count, 'commits, aborts, offsets within transactions')
  await administer(admin, topic, groupId)
  checked('admin', count, 'topics, configurations, groups, records')
  await admin.close()
}

const description = readFileSync(join(__dirname, 'node_modules/@platformatic/kafka/package.json'))
main('@platformatic/kafka', JSON.parse(description).version, everything)
