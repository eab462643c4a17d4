// What the programs of this folder have in common: the records, how they are compared, how a result is told.

const PARTITIONS = 4
const PATIENCE_MS = 120_000
const FIRST_TIMESTAMP_MS = 1_500_000_000_000
const RUN = `${process.pid}-${Date.now()}`

function check (holds, message) {
  if (!holds) throw new Error(message)
}

function checked (what, records, how) {
  console.log(JSON.stringify({ checked: what, records, how }))
}

/** The record of a number, as both clients write it. */
function record (number) {
  return {
    partition: number % PARTITIONS,
    key: `key-${number % 97}`,
    value: `value-${number}`,
    header: String(number),
    timestamp: FIRST_TIMESTAMP_MS + number
  }
}

/** Compares a record that was read; gives its number. */
function verify ({ partition, key, value, header, timestamp }) {
  const number = Number(value.slice('value-'.length))
  const expected = record(number)
  check(partition === expected.partition, `the partition of ${number}: ${partition}`)
  check(key === expected.key, `the key of ${number}: ${key}`)
  check(header === expected.header, `the header of ${number}: ${header}`)
  check(timestamp === expected.timestamp, `the timestamp of ${number}: ${timestamp}`)
  return number
}

/** The numbers from 0 on in slices. */
function * slices (count, size) {
  for (let first = 0; first < count; first += size) {
    yield Array.from({ length: Math.min(size, count - first) }, (_, index) => first + index)
  }
}

/** Waits for a condition; it is looked at again whenever the event loop has nothing else to do for a moment. */
async function until (condition, what) {
  const deadline = Date.now() + PATIENCE_MS
  while (!condition()) {
    check(Date.now() < deadline, `${typeof what === 'function' ? what() : what} did not come in time`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** Runs a program; the first thing that is wrong ends it with a message. */
function main (client, version, program) {
  const [bootstrap, records] = process.argv.slice(2)
  console.log(JSON.stringify({ client, language: 'JavaScript', version }))
  program(bootstrap, Number(records)).then(
    () => process.exit(0),
    error => {
      console.error(`${client}: ${error.stack}`)
      process.exit(1)
    }
  )
}

module.exports = { PARTITIONS, RUN, FIRST_TIMESTAMP_MS, check, checked, record, verify, slices, until, main }
