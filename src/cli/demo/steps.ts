// The five things that the demo shows, each a function that makes traffic, changes something and checks what was seen.
// Called by demo-main.ts in this order.

import type { Progress } from '../command-line/progress.js'
import type { RotatedLeaf } from '../commands/ca.js'
import { call, sendRequests, type Tally, Traffic } from './driver.js'
import type { Facts } from './facts.js'
import { splitter } from './mesh.js'
import { get, type Mesh } from './mesh-processes.js'
import { HeldConnection, type MeshIdentity, plainSerial, servedSerial } from './mtls-probe.js'
import { API_INSTANCES, DEMO_HOST } from './port-table.js'

const CONNECTIONS = 8
const FIRST_REQUESTS = 2_000
/** A share of 50 % among this many requests is off by 3 points once in 300,000 runs. */
const SHARE_REQUESTS = 6_000
const EXACT_REQUESTS = 1_000
const ROTATION_REQUESTS = 500
const TOLERANCE_POINTS = 3
const WEB_CALL_MS = 40
const BATCH_CALL_MS = 1_000

export interface Stage {
  readonly mesh: Mesh
  readonly facts: Facts
  readonly progress: Progress
}

export async function splitTraffic({ mesh, facts, progress }: Stage): Promise<void> {
  progress.line(`1. ${FIRST_REQUESTS.toLocaleString('en')} requests web -> api, split 90 % v1, 10 % v2`)
  const tally = await sendRequests(mesh.table.instances.web.application, FIRST_REQUESTS, CONNECTIONS, done =>
    progress.bar('requests', done, FIRST_REQUESTS),
  )
  noFailure(facts, tally)
  sharesNear(facts, tally, 90)
  const caller = /URI=(spiffe:\/\/[^;,"]+)/.exec(tally.xfcc)?.[1] ?? ''
  facts.check(caller.endsWith('/ns/default/dc/dc1/svc/web'), 'api saw who called', caller || 'no identity')
  progress.line(`          x-forwarded-client-cert: ${tally.xfcc}`)
}

export async function refusedCall({ mesh, facts, progress }: Stage): Promise<void> {
  progress.line('2. batch calls api, which no intention allows')
  const reply = await call(mesh.table.instances.batch.application, '/orders')
  facts.check(reply.status === 403, 'the answer is 403', `${reply.status}, ${answerText(reply.text)}`)
  const envoys = API_INSTANCES.filter(id => mesh.isEnvoy(id))
  if (envoys.length > 0 && reply.deniedBy === '') progress.line('          (the real Envoy beside api gives no reason)')
  else facts.check(reply.deniedBy !== '', 'the sidecar says why', reply.deniedBy || 'no x-outrigger-denied-by header')
  for (const id of API_INSTANCES) {
    const logged = mesh.processes.logLine(`${id}-sidecar`, 'request denied')
    if (logged !== undefined) progress.line(`          log of ${id}'s sidecar: ${logged}`)
  }
  const callers = await Promise.all(API_INSTANCES.map(async id => (await get(mesh.table.instances[id].application, '/callers')).text))
  facts.check(!callers.some(text => text.includes('/svc/batch')), 'the request never reached api', '')
}

export async function moveCanary(stage: Stage): Promise<void> {
  const { mesh, facts, progress } = stage
  progress.line('3. the canary moves 90/10 -> 50/50 -> 0/100 while traffic runs')
  const traffic = new Traffic(mesh.table.instances.web.application, CONNECTIONS)
  traffic.start()
  try {
    await traffic.newTally().reached(CONNECTIONS)
    await canaryStep(stage, traffic, 50)
    await canaryStep(stage, traffic, 0)
  } finally {
    await traffic.stop()
  }
  noFailure(facts, traffic.total)
}

async function canaryStep({ mesh, facts, progress }: Stage, traffic: Traffic, v1Weight: number): Promise<void> {
  const step = `${v1Weight}-${100 - v1Weight}`
  const routed = traffic.firstOf(step)
  const { index } = await mesh.api.put('/v1/config', splitter(v1Weight, step))
  const written = performance.now()
  await mesh.acknowledged('web', index)
  const tally = traffic.newTally()
  const wanted = v1Weight === 0 ? EXACT_REQUESTS : SHARE_REQUESTS
  for (let done = 0; done < wanted; done = Math.min(wanted, done + 100)) {
    await tally.reached(done + 100)
    progress.bar(`requests at ${v1Weight}/${100 - v1Weight}`, done + 100, wanted)
  }
  const firstMs = Math.max(0, (await routed) - written)
  progress.line(`   ${v1Weight}/${100 - v1Weight}: ${firstMs.toFixed(1)} ms from the write's HTTP 200 to the first response routed by it`)
  if (v1Weight === 0) {
    const exact = tally.failed === 0 && tally.versions.size === 1 && tally.versions.has('v2')
    facts.check(exact, `shares exactly 0/100 once web's sidecar had acknowledged`, shares(tally))
  } else sharesNear(facts, tally, v1Weight)
}

export async function rotateLeaves({ mesh, facts, progress }: Stage): Promise<void> {
  progress.line("4. the leaf certificates of api's sidecars are rotated while traffic runs")
  const leaf = await mesh.api.getJson<{ readonly CertPEM: string; readonly PrivateKeyPEM: string; readonly ServiceURI: string }>(
    '/v1/agent/connect/ca/leaf/web',
  )
  const caPem = (await mesh.api.get('/v1/connect/ca/roots?pem=true')).text
  const web: MeshIdentity = { certPem: leaf.CertPEM, keyPem: leaf.PrivateKeyPEM, caPem }
  const apiUri = leaf.ServiceURI.replace(/\/svc\/web$/, '/svc/api')
  const held = API_INSTANCES.map(id => new HeldConnection(mesh.table.instances[id].public, web, apiUri))
  const traffic = new Traffic(mesh.table.instances.web.application, CONNECTIONS)
  traffic.start()
  try {
    await traffic.newTally().reached(ROTATION_REQUESTS)
    await Promise.all(held.map(connection => connection.request('/held')))
    const rotated = JSON.parse(await mesh.outrigger('ca', 'rotate-leaf', '--service', 'api', '--json')) as RotatedLeaf
    await Promise.all(API_INSTANCES.map(id => mesh.acknowledged(id, rotated.Index)))
    const wanted = plainSerial(rotated.SerialNumber)
    const served = await Promise.all(API_INSTANCES.map(id => servedSerial(mesh.table.instances[id].public, web, apiUri)))
    await traffic.newTally().reached(ROTATION_REQUESTS)
    const stayed = await Promise.all(
      held.map(connection => connection.request('/held').catch(error => ({ status: 0, same: false, error }))),
    )
    progress.line(`   bin/outrigger ca rotate-leaf --service api: ${rotated.PreviousSerialNumber} -> ${rotated.SerialNumber}`)
    for (const [index, id] of API_INSTANCES.entries())
      facts.check(served[index] === wanted, `a fresh connection to ${id} sees the new serial`, served[index]!)
    facts.check(
      stayed.every(({ status, same }) => status === 200 && same),
      'connections that were open stayed open and work',
      stayed.map(({ status, same }) => `${status}${same ? '' : ' on another connection'}`).join(', '),
    )
  } finally {
    for (const connection of held) connection.close()
    await traffic.stop()
  }
  noFailure(facts, traffic.total)
}

/** Prometheus lines that must be there: instance, what it shows, how it begins, and labels that it holds. */
const SHOWN_METRICS = [
  ['web', 'requests to v1', 'envoy_cluster_upstream_rq_total', 'consul_destination_service_subset="v1"'],
  ['web', 'requests to v2', 'envoy_cluster_upstream_rq_total', 'consul_destination_service_subset="v2"'],
  ['web', 'mTLS handshakes with api', 'envoy_cluster_ssl_handshake', 'consul_destination_service="api"'],
  ['web', 'connected to the control plane', 'envoy_control_plane_connected_state', ''],
  ['api-v1', 'listeners changed (the rotation)', 'envoy_listener_manager_listener_modified', ''],
  ['api-v2', 'allowed callers', 'envoy_http_rbac_allowed', 'public_listener'],
  ['api-v2', 'requests served', 'envoy_http_downstream_rq_xx', 'public_listener'],
] as const

export async function showMetrics({ mesh, facts, progress }: Stage): Promise<void> {
  progress.line("5. the sidecars' Prometheus metrics")
  const pages = new Map<string, string>()
  for (const id of ['web', ...API_INSTANCES] as const) {
    pages.set(id, await mesh.metrics(id))
  }
  for (const [id, what, name, label] of SHOWN_METRICS) {
    const line = sample(pages.get(id)!, name, label)
    facts.check(
      line !== undefined && sampleValue(line) > 0,
      `${id}: ${what}`,
      line === undefined ? `no ${name} ${label}` : shortened(line, label),
    )
  }
  // Either of api's instances may have been the one that refused.
  const denied = API_INSTANCES.map(id => sample(pages.get(id)!, 'envoy_http_rbac_denied', 'public_listener'))
  const line = denied.find(candidate => candidate !== undefined && sampleValue(candidate) > 0)
  facts.check(
    line !== undefined,
    'api: refused callers',
    line === undefined ? 'no envoy_http_rbac_denied above 0' : shortened(line, 'public_listener'),
  )
}

/** Of a dozen labels the one that matters here. */
function shortened(line: string, label: string): string {
  const match = /^(\w+)\{(.*)\} (\S+)$/.exec(line)
  if (match === null) return line
  const kept = label === '' ? [] : match[2]!.split(',').filter(pair => pair.includes(label))
  return `${match[1]}{${[...kept, '...'].join(',')}} ${match[3]}`
}

/** The sample of that name with the highest value, among those whose labels contain `label`. */
function sample(page: string, name: string, label: string): string | undefined {
  return page
    .split('\n')
    .filter(line => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(label))
    .sort((a, b) => sampleValue(b) - sampleValue(a))[0]
}

function sampleValue(line: string): number {
  return Number(line.slice(line.lastIndexOf(' ') + 1))
}

/** Lines to paste into a shell. */
/** A little traffic until the demo ends: something to see in the console. */
export function keepCalling({ mesh }: Stage): void {
  const { web, batch } = mesh.table.instances
  setInterval(() => void call(web.application, '/hello'), WEB_CALL_MS)
  setInterval(() => void call(batch.application, '/hello'), BATCH_CALL_MS)
}

export function consoleUrl({ mesh }: Stage): string {
  return `http://${DEMO_HOST}:${mesh.table.http}/ui/`
}

export function linesToTry({ mesh }: Stage, outrigger: string): string[] {
  const { table } = mesh
  const { web, batch } = table.instances
  const at = (port: number, path: string): string => `http://${DEMO_HOST}:${port}${path}`
  return [
    `curl ${at(web.application, '/hello')}    # web -> sidecar -> mTLS -> sidecar -> api`,
    `curl -i ${at(batch.application, '/hello')}    # refused: 403 and the reason`,
    `curl '${at(table.http, '/v1/outrigger/explain?from=batch&to=api&pretty')}'    # why`,
    `curl '${at(table.http, '/v1/config/service-splitter/api?pretty')}'    # the split, as it is now`,
    `curl -X PUT ${at(table.http, '/v1/config')} -d '${JSON.stringify(splitter(75, '75-25'))}'    # move it`,
    `curl ${at(web.admin, '/stats/prometheus')}    # metrics of web's sidecar`,
    `curl ${at(web.admin, '/clusters')}    # what web's sidecar knows`,
    `${outrigger} proxies --http-addr ${DEMO_HOST}:${table.http}`,
    `${outrigger} explain --from web --to api --method GET --path /hello --http-addr ${DEMO_HOST}:${table.http}`,
    `${outrigger} ca rotate-leaf --service api --http-addr ${DEMO_HOST}:${table.http}`,
  ]
}

function noFailure(facts: Facts, tally: Tally): void {
  const found = tally.failed === 0 ? '' : `${tally.failed} failed (${tally.failures.join(' | ')})`
  facts.check(tally.failed === 0 && tally.requests > 0, `${tally.requests.toLocaleString('en')} requests, not one failed`, found)
}

function sharesNear(facts: Facts, tally: Tally, v1Weight: number): void {
  const off = Math.max(Math.abs(tally.share('v1') - v1Weight), Math.abs(tally.share('v2') - (100 - v1Weight)))
  facts.check(off <= TOLERANCE_POINTS, `shares within ${TOLERANCE_POINTS} points of ${v1Weight}/${100 - v1Weight}`, shares(tally))
}

function shares(tally: Tally): string {
  return `v1 ${tally.share('v1').toFixed(1)} %, v2 ${tally.share('v2').toFixed(1)} % of ${tally.requests.toLocaleString('en')}`
}

/** The body that the sidecar gave, out of the application's answer. */
function answerText(text: string): string {
  try {
    const { upstream } = JSON.parse(text) as { upstream?: { body?: unknown } }
    return JSON.stringify(upstream?.body ?? text)
  } catch {
    return JSON.stringify(text.trim())
  }
}
