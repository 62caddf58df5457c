// Simulated sidecars for the control plane's bench: a process of its own that opens one real delta ADS stream for each proxy id, asks for
// what a sidecar asks for, acknowledges all of it at once, and tells its parent what it has and when. Forked by simulation.mjs, which it
// answers over the IPC channel. It decodes no resource: names and versions are all that the protocol needs of it. A stream that ends is
// opened again after a jittered backoff, as sidecars do, with the versions that it has.
//
//   parent -> { open: [{ id, node, address }], upstreams }   child -> { configured: n, at } once all have clusters, endpoints, listeners
//             { drop: true, keep }                              { configured: n, at } once all are back (keep: they name what they have)
//             { watch: { typeUrl, prefix, count, times } }      { watching: true }, then { seen: times in ms since the epoch }
//             { report: ms }                                    every sidecar reports load of all its clusters so often; no answer
//             { stats: true }                                   { stats }

import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../dist/xds/type-urls.js'
import { AdsStream } from './ads-stream.mjs'
import { reportLoad } from './load-stream.mjs'

/** gRPC's and Envoy's kind: doubled, and any time up to it. */
const BACKOFF_BASE_MS = 500
const BACKOFF_MAX_MS = 30_000

const stats = { bytes: 0, resources: 0, responses: 0, removed: 0, ends: 0, lastAt: 0, reasons: {} }
const sidecars = []
let configured = 0
/** What the parent waits for: `times` resources of this type whose name starts with this, in so many sidecars. */
let watched = null

const now = () => performance.timeOrigin + performance.now()
/** Ten thousand sidecars know the same names. */
const names = new Map()
const interned = name => {
  const known = names.get(name)
  if (known !== undefined) return known
  // What is decoded may be a part of its message: this is not.
  const own = Buffer.from(name).toString()
  names.set(own, own)
  return own
}

class SimulatedSidecar {
  /** `node`: where it is registered; undefined: on the control plane's own. */
  constructor({ id, node, address }, upstreams) {
    this.identity = { id, cluster: id, ...(node !== undefined && { metadata: { node_name: node } }) }
    this.address = address
    this.wanted = upstreams
    this.attempts = 0
    this.forget()
    this.open()
  }

  forget() {
    this.have = { [CLUSTER_TYPE]: new Map(), [ENDPOINT_TYPE]: new Map(), [LISTENER_TYPE]: new Map(), [ROUTE_TYPE]: new Map() }
  }

  open() {
    this.done = false
    this.asked = new Set()
    this.answered = new Set()
    this.stream = new AdsStream(
      this.address,
      response => this.receive(response),
      reason => this.ended(reason),
    )
    this.subscribe(CLUSTER_TYPE, [])
    if (this.have[LISTENER_TYPE].size === 0) return
    this.subscribe(ENDPOINT_TYPE, [...this.have[ENDPOINT_TYPE].keys()])
    this.subscribe(LISTENER_TYPE, [])
    if (this.have[ROUTE_TYPE].size > 0) this.subscribe(ROUTE_TYPE, [...this.have[ROUTE_TYPE].keys()])
  }

  subscribe(typeUrl, resourceNamesSubscribe) {
    const first = !this.asked.has(typeUrl)
    const node = this.asked.size === 0 ? { node: this.identity } : {}
    this.asked.add(typeUrl)
    const initialResourceVersions = first ? Object.fromEntries(this.have[typeUrl]) : {}
    this.stream.send({ typeUrl, resourceNamesSubscribe, initialResourceVersions, ...node })
  }

  ended(reason) {
    stats.ends++
    stats.reasons[reason] = (stats.reasons[reason] ?? 0) + 1
    if (this.done) configured--
    this.done = false
    const waitMs = Math.random() * Math.min(BACKOFF_BASE_MS * 2 ** this.attempts++, BACKOFF_MAX_MS)
    setTimeout(() => this.open(), waitMs)
  }

  receive(response) {
    const { typeUrl, nonce } = response
    const known = this.have[typeUrl]
    const added = []
    stats.responses++
    stats.lastAt = now()
    for (const { name: given, version, resource } of response.resources) {
      const name = interned(given)
      stats.bytes += resource.value.length
      stats.resources++
      if (!known.has(name)) added.push(name)
      known.set(name, version)
      if (watched !== null && watched.typeUrl === typeUrl && name.startsWith(watched.prefix)) this.saw()
    }
    stats.removed += response.removedResources.length
    for (const name of response.removedResources) known.delete(name)
    this.stream.send({ typeUrl, responseNonce: nonce })
    this.answered.add(typeUrl)
    if (typeUrl === CLUSTER_TYPE) {
      const remote = added.filter(name => name !== 'local_app')
      if (remote.length > 0) this.subscribe(ENDPOINT_TYPE, remote)
      if (!this.asked.has(LISTENER_TYPE)) this.subscribe(LISTENER_TYPE, [])
    }
    if (typeUrl === LISTENER_TYPE) {
      const routes = added.filter(name => !name.startsWith('public_listener')).map(name => name.split(':')[0])
      if (routes.length > 0) this.subscribe(ROUTE_TYPE, routes)
    }
    if (!this.done && this.isConfigured()) {
      this.done = true
      this.attempts = 0
      configured++
      if (configured === sidecars.length) process.send({ configured, at: now() })
    }
  }

  isConfigured() {
    const { [LISTENER_TYPE]: listeners, [ENDPOINT_TYPE]: endpoints } = this.have
    if (listeners.size < this.wanted + 1 || endpoints.size < this.wanted) return false
    return [CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE].every(typeUrl => this.answered.has(typeUrl))
  }

  saw() {
    const seen = (watched.by.get(this) ?? 0) + 1
    watched.by.set(this, seen)
    if (seen === watched.times) watched.at.push(now())
    if (seen === watched.times && watched.at.length === watched.count) process.send({ seen: watched.at })
  }
}

process.on('message', message => {
  if (message.open !== undefined) for (const each of message.open) sidecars.push(new SimulatedSidecar(each, message.upstreams))
  if (message.drop) {
    for (const sidecar of sidecars) {
      if (!message.keep) sidecar.forget()
      sidecar.stream.close()
    }
  }
  if (message.watch !== undefined) {
    watched = message.watch && { ...message.watch, by: new Map(), at: [] }
    process.send({ watching: true })
  }
  if (message.report !== undefined)
    for (const { identity, stream, have } of sidecars) reportLoad(stream.session, identity, [...have[CLUSTER_TYPE].keys()], message.report)
  if (message.stats) process.send({ stats: { ...stats, configured, sidecars: sidecars.length } })
})
process.on('disconnect', () => process.exit(0))
