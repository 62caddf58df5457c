// What the key/value store and DNS give: durable writes of many clients at once, reads, DNS answers, and what 2,000 open blocking queries
// cost. Called by control-main.mjs, which gives it a way to start a control plane with a data directory.
// Invariant: every answer is asserted; a write counts once it is acknowledged, that is on the disk.
import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { join } from 'node:path'
import { keepAliveClient } from './keep-alive-client.mjs'

const WRITERS = 128
const WRITES = 20_000
const READERS = 32
const READS = 40_000
const WAITING = 2_000
const IDLE_MS = 2_000
const IDLE_SPANS = 5
const DNS_IN_FLIGHT = 64
const DNS_ANSWERS = 60_000
const INSTANCES = 3
const NAME = 'svc-0.service.consul'

/** Runs `task(i)` for each i below `count`, `width` at once. Resolves with the seconds it took. */
async function timed(count, width, task) {
  const began = performance.now()
  let next = 0
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await task(i)
  }
  await Promise.all(Array.from({ length: width }, worker))
  return (performance.now() - began) / 1_000
}

async function keyRows(plane, report) {
  const writer = keepAliveClient(plane.http, WRITERS)
  const cpuBefore = plane.cpuSeconds()
  const wrote = await timed(WRITES, WRITERS, async i => {
    const { status, text } = await writer.ask('PUT', `/v1/kv/bench/${i % 5_000}`, `value ${i}`)
    assert.equal(status, 200, text)
  })
  report('kv-writes', `durable writes a second, ${WRITERS} clients`, WRITES / wrote)
  report('kv-write-cpu', 'µs of CPU a write', ((plane.cpuSeconds() - cpuBefore) * 1e6) / WRITES)
  writer.close()
  // Sixty-four in a transaction share one request.
  const batches = keepAliveClient(plane.http, 16)
  const operations = 64
  const count = 400
  const batched = await timed(count, 16, async i => {
    const body = Array.from({ length: operations }, (_, k) => ({ KV: { Verb: 'set', Key: `batch/${i % 50}/${k}`, Value: 'dg==' } }))
    const { status, text } = await batches.ask('PUT', '/v1/txn', JSON.stringify(body))
    assert.equal(status, 200, text)
  })
  report('kv-batches', `durable writes a second, transactions of ${operations}`, (count * operations) / batched)
  batches.close()
  const reader = keepAliveClient(plane.http, READERS)
  const readFrom = plane.cpuSeconds()
  const read = await timed(READS, READERS, async i => {
    const { status } = await reader.ask('GET', `/v1/kv/bench/${i % 5_000}`)
    assert.equal(status, 200)
  })
  report('kv-reads', `reads a second, ${READERS} clients`, READS / read)
  report('kv-read-cpu', 'µs of CPU a read', ((plane.cpuSeconds() - readFrom) * 1e6) / READS)
  reader.close()
}

/** They wait for a service each that nobody registers; then one write wakes one of them. */
async function waitingRow(plane, report) {
  const waiting = keepAliveClient(plane.http, WAITING)
  const one = keepAliveClient(plane.http, 1)
  const { index } = await one.ask('GET', '/v1/health/service/absent-0')
  let answered = 0
  const all = Array.from({ length: WAITING }, (_, i) =>
    waiting.ask('GET', `/v1/health/service/absent-${i}?index=${index}&wait=60s`).then(
      () => answered++,
      () => {},
    ),
  )
  // Until all have come the row falls: the least of a few spans is what they cost once they wait.
  let least = Number.POSITIVE_INFINITY
  for (let span = 0; span < IDLE_SPANS; span++) {
    const before = plane.cpuSeconds()
    await new Promise(resolve => setTimeout(resolve, IDLE_MS))
    least = Math.min(least, (100 * (plane.cpuSeconds() - before)) / (IDLE_MS / 1_000))
  }
  report('waiting-cpu', `% of a core, ${WAITING} blocking queries open`, least)
  assert.equal(answered, 0)
  const began = performance.now()
  await plane.put('/v1/agent/service/register', { Name: 'absent-7', Port: 1 })
  await all[7]
  report('waiting-wake', 'ms from a registration to the one query that waits for it', performance.now() - began)
  waiting.close()
  one.close()
}

function dnsQuestion(name) {
  const labels = name.split('.').flatMap(label => [Buffer.from([label.length]), Buffer.from(label)])
  return Buffer.concat([Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])])
}

async function dnsRow(plane, report) {
  const socket = dgram.createSocket('udp4')
  const question = dnsQuestion(NAME)
  let sent = 0
  let answers = 0
  const ask = () => {
    question.writeUInt16BE(++sent & 0xffff, 0)
    socket.send(Buffer.from(question), plane.dnsPort, '127.0.0.1')
  }
  const before = plane.cpuSeconds()
  const began = performance.now()
  await new Promise((resolve, reject) => {
    socket.once('error', reject)
    // A datagram that is lost would end the row's flow: another one is asked for it.
    const refill = setInterval(() => {
      for (let i = 0; i < DNS_IN_FLIGHT && sent < 2 * DNS_ANSWERS; i++) ask()
    }, 1_000)
    socket.on('message', message => {
      assert.equal(message[3] & 15, 0)
      assert.ok(message.readUInt16BE(6) > 0)
      if (++answers < DNS_ANSWERS) return ask()
      clearInterval(refill)
      resolve()
    })
    for (let i = 0; i < DNS_IN_FLIGHT; i++) ask()
  })
  const seconds = (performance.now() - began) / 1_000
  const cpu = plane.cpuSeconds() - before
  report('dns-answers', 'answers a second', DNS_ANSWERS / seconds)
  report('dns-per-core', 'answers a second of CPU', DNS_ANSWERS / cpu)
  socket.close()
}

/** `start(folder, flags)` gives a control plane of its own with `http`, `put` and `stop`; `report(row, unit, value)` prints. */
export async function storeRows({ dir, start, cpuSecondsOf, freePort, report }) {
  const dnsPort = await freePort()
  const plane = await start(join(dir, 'store'), ['--dns-addr', `127.0.0.1:${dnsPort}`])
  const measured = { http: plane.http, dnsPort, put: (path, body) => plane.put(path, body), cpuSeconds: () => cpuSecondsOf(plane) }
  try {
    for (let i = 0; i < INSTANCES; i++)
      await plane.put('/v1/agent/service/register', { ID: `svc-0-${i}`, Name: 'svc-0', Address: `10.0.0.${i + 1}`, Port: 80 })
    await keyRows(measured, report)
    await waitingRow(measured, report)
    await dnsRow(measured, report)
  } finally {
    await plane.stop()
  }
}
