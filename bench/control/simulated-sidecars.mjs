// Simulated sidecars for the control plane's bench: a process of its own that opens one real delta ADS stream for each proxy id, asks for
// what a sidecar asks for, acknowledges all of it at once, and tells its parent what it has and when. Forked by control-main.mjs, which
// it answers over the IPC channel. It decodes no resource: names and versions are all that the protocol needs of it.
//
//   parent -> { open: ids, address, upstreams } | { watch: type, name } | { stats: true }
//   child  -> { configured: n } when each has its clusters, endpoints and listeners; { seen: id, at } for each that got `name`
import { create } from '@bufbuild/protobuf'
import { Client, credentials } from '@grpc/grpc-js'
import { DeltaDiscoveryRequestSchema } from '../../dist/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { deltaMethod } from '../../dist/xds/grpc-service.js'
import { ADS_METHODS, CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../dist/xds/type-urls.js'

const method = deltaMethod(ADS_METHODS.delta)
/** As many sidecars share one process, each must have a connection of its own, as real ones do. */
const CHANNEL_OPTIONS = { 'grpc.use_local_subchannel_pool': 1, 'grpc.max_receive_message_length': 64 * 1024 * 1024 }

let configured = 0
let bytes = 0
let resources = 0
/** What the parent waits for: a resource of this type whose name starts with this. */
let watched = null

class SimulatedSidecar {
  constructor(id, address, upstreams) {
    this.id = id
    this.wanted = upstreams
    this.have = { [CLUSTER_TYPE]: new Set(), [ENDPOINT_TYPE]: new Set(), [LISTENER_TYPE]: new Set() }
    this.first = true
    this.done = false
    this.client = new Client(address, credentials.createInsecure(), CHANNEL_OPTIONS)
    this.stream = this.client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize)
    this.stream.on('data', response => this.receive(response))
    this.stream.on('error', error => process.send({ error: `${id}: ${error.message}` }))
    this.send({ typeUrl: CLUSTER_TYPE })
  }

  send(request) {
    const node = this.first ? { node: { id: this.id, cluster: this.id } } : {}
    this.first = false
    this.stream.write(create(DeltaDiscoveryRequestSchema, { ...request, ...node }))
  }

  receive(response) {
    const { typeUrl, nonce } = response
    const known = this.have[typeUrl]
    const names = []
    for (const { name, resource } of response.resources) {
      bytes += resource.value.length
      resources++
      if (known !== undefined && !known.has(name)) names.push(name)
      known?.add(name)
      if (watched !== null && watched.typeUrl === typeUrl && name.startsWith(watched.prefix))
        process.send({ seen: this.id, at: performance.timeOrigin + performance.now() })
    }
    this.send({ typeUrl, responseNonce: nonce })
    if (typeUrl === CLUSTER_TYPE) {
      const remote = names.filter(name => name !== 'local_app')
      if (remote.length > 0) this.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: remote })
      if (this.have[LISTENER_TYPE].size === 0 && !this.askedListeners) this.send({ typeUrl: LISTENER_TYPE })
      this.askedListeners = true
    }
    if (typeUrl === LISTENER_TYPE) {
      const routes = names.filter(name => !name.startsWith('public_listener')).map(name => name.split(':')[0])
      if (routes.length > 0) this.send({ typeUrl: ROUTE_TYPE, resourceNamesSubscribe: routes })
    }
    if (!this.done && this.have[LISTENER_TYPE].size >= this.wanted + 1 && this.have[ENDPOINT_TYPE].size >= this.wanted) {
      this.done = true
      configured++
      process.send({ configured, at: performance.timeOrigin + performance.now() })
    }
  }
}

process.on('message', message => {
  if (message.open !== undefined) for (const id of message.open) new SimulatedSidecar(id, message.address, message.upstreams)
  if (message.watch !== undefined) {
    watched = message.watch
    process.send({ watching: true })
  }
  if (message.stats) process.send({ bytes, resources })
})
process.on('disconnect', () => process.exit(0))
