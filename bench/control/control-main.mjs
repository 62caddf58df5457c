// `npm run bench -- control [--sidecars 1000] [--only acl|sidecars|store] [--json FILE]`: the control plane under simulated sidecars. It starts bin/outrigger control
// with a data directory of its own, registers two instances of each service with ten upstreams, lets simulated-sidecars.mjs (a process of
// its own) connect all of them, and measures: time until all are configured, time from one write to the last subscriber that has it, bytes
// that a deploy of 50 instances sends, CPU time and memory of the control plane, and what ACLs cost an answer (acl-row.mjs; alone with
// `--only acl`), and what the key/value store, blocking queries and DNS give (store-row.mjs; `--only store`). Each row says its unit; nothing here passes or fails.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ENDPOINT_TYPE, LISTENER_TYPE } from '../../dist/xds/type-urls.js'
import { aclRow } from './acl-row.mjs'
import { ControlPlane, cpuSecondsOf, freePort, quantile, registration } from './control-process.mjs'
import { Simulation } from './simulation.mjs'
import { storeRows } from './store-row.mjs'

const UPSTREAMS = 10
const CHANGES = 40
const DEPLOYED = 50

async function measure(plane, simulation, sidecars, report) {
  const services = sidecars / 2
  const ids = []
  for (let s = 0; s < services; s++) {
    for (let k = 0; k < 2; k++) {
      await plane.put('/v1/agent/service/register', registration(s, k, services, UPSTREAMS))
      ids.push(`svc-${s}-${k}-sidecar-proxy`)
    }
  }
  const idle = plane.cpuSeconds()
  const begin = performance.timeOrigin + performance.now()
  const end = await simulation.open(
    ids.map(id => ({ id, address: plane.grpc })),
    UPSTREAMS,
  )
  const connected = plane.cpuSeconds()
  report('connect', 's until all are configured', (end - begin) / 1000)
  report('connect-cpu', 'ms CPU a sidecar', ((connected - idle) * 1000) / sidecars)
  report('connect-bytes', 'KB a sidecar', (await simulation.stats()).bytes / 1024 / sidecars)

  const endpoint = []
  for (let i = 0; i < CHANGES; i++) {
    const s = (i * 7) % services
    const verb = i % 2 === 0 ? 'fail' : 'pass'
    const target = `svc-${verb === 'fail' ? s : ((i - 1) * 7) % services}`
    endpoint.push(
      ...(await simulation.spread({ typeUrl: ENDPOINT_TYPE, prefix: `${target}.`, count: 2 * UPSTREAMS }, () =>
        plane.put(`/v1/agent/check/${verb}/${target}-1-ttl`),
      )),
    )
  }
  report('endpoint-change', 'ms to a subscriber, p50', quantile(endpoint, 0.5))
  report('endpoint-change-p99', 'ms to a subscriber, p99', quantile(endpoint, 0.99))

  const intention = []
  for (let i = 0; i < CHANGES / 2; i++) {
    const entry = {
      Kind: 'service-intentions',
      Name: `svc-${(i * 11) % services}`,
      Sources: [{ Name: `caller-${i}`, Action: 'allow' }],
    }
    const ofService = { typeUrl: LISTENER_TYPE, prefix: 'public_listener', count: 2 }
    intention.push(...(await simulation.spread(ofService, () => plane.put('/v1/config', entry))))
  }
  report('intention-change-p99', 'ms to a subscriber, p99', quantile(intention, 0.99))

  const before = { ...(await simulation.stats()), cpuSeconds: plane.cpuSeconds() }
  for (let k = 0; k < DEPLOYED; k++)
    await simulation.spread({ typeUrl: ENDPOINT_TYPE, prefix: 'svc-0.', count: 2 * UPSTREAMS }, () =>
      plane.put('/v1/agent/service/register', registration(0, 2 + k, services, UPSTREAMS)),
    )
  const after = { ...(await simulation.stats()), cpuSeconds: plane.cpuSeconds() }
  report('deploy-bytes', `KB for each of ${DEPLOYED} instances`, (after.bytes - before.bytes) / 1024 / DEPLOYED)
  report('deploy-resources', 'resources for each instance', (after.resources - before.resources) / DEPLOYED)
  report('deploy-cpu', 'ms CPU for each instance', ((after.cpuSeconds - before.cpuSeconds) * 1000) / DEPLOYED)
  report('memory', 'MB resident', plane.rssMb())
}

async function main() {
  const { values } = parseArgs({
    options: {
      sidecars: { type: 'string', default: '1000' },
      only: { type: 'string', default: '' },
      json: { type: 'string', default: '' },
    },
  })
  const sidecars = Number(values.sidecars)
  if (!Number.isInteger(sidecars) || sidecars < 24 || sidecars % 2 !== 0)
    throw new Error('--sidecars must be an even number of at least 24')
  if (!['', 'acl', 'sidecars', 'store'].includes(values.only)) throw new Error('--only must be acl, sidecars or store')
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-bench-control-'))
  const results = []
  const report = (row, unit, value) => {
    results.push({ row, sidecars, unit, value: Number(value.toFixed(3)) })
    console.log(`${row.padEnd(22)} ${value.toFixed(2).padStart(10)} ${unit}`)
  }
  let plane
  let simulation
  try {
    if (values.only === '' || values.only === 'sidecars') {
      plane = await ControlPlane.start(join(dir, 'sidecars'))
      simulation = new Simulation()
      await measure(plane, simulation, sidecars, report)
    }
    const others = {
      dir,
      start: (folder, flags) => ControlPlane.start(folder, flags),
      cpuSecondsOf: ({ child }) => cpuSecondsOf(child.pid),
      quantile,
      freePort,
      report,
    }
    if (values.only === '' || values.only === 'store') await storeRows(others)
    if (values.only === '' || values.only === 'acl') await aclRow(others)
  } finally {
    simulation?.close()
    await plane?.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  if (values.json !== '') writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`)
}

await main()
