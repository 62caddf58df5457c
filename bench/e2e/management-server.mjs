// The xDS server of this project in the bench process, for the rows that change config under load: resources are written as Envoy's JSON.
import { createRegistry, fromJson, toBinary } from '@bufbuild/protobuf'

const load = path => import(`../../dist/xds/${path}`)
const { addAds } = await import('../../dist/control/grpc/ads-service.js')
const { GrpcServer } = await import('../../dist/control/grpc/grpc-server.js')
const { MAX_MESSAGE_BYTES } = await load('grpc-service.js')
const { ClusterSchema } = await load('gen/envoy/config/cluster/v3/cluster_pb.js')
const { ClusterLoadAssignmentSchema } = await load('gen/envoy/config/endpoint/v3/endpoint_pb.js')
const { ListenerSchema } = await load('gen/envoy/config/listener/v3/listener_pb.js')
const { RouteConfigurationSchema } = await load('gen/envoy/config/route/v3/route_pb.js')
const { knownSchemas } = await load('resources/schemas.js')
const { AdsServer } = await load('server/server.js')
const { makeResource, makeSnapshot } = await load('server/snapshot.js')
const { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } = await load('type-urls.js')

const registry = createRegistry(...knownSchemas())
const NODE = 'bench'
const ACKNOWLEDGED_WITHIN_MS = 60_000
const KINDS = {
  clusters: [ClusterSchema, CLUSTER_TYPE, 'name'],
  endpoints: [ClusterLoadAssignmentSchema, ENDPOINT_TYPE, 'cluster_name'],
  listeners: [ListenerSchema, LISTENER_TYPE, 'name'],
  routes: [RouteConfigurationSchema, ROUTE_TYPE, 'name'],
}

function pack([schema, typeUrl, key], json) {
  const bytes = toBinary(schema, fromJson(schema, JSON.parse(JSON.stringify(json)), { registry }))
  const children = json.type === 'EDS' ? [{ typeUrl: ENDPOINT_TYPE, names: [json[key]] }] : []
  return makeResource(json[key], typeUrl, bytes, children)
}

export class ManagementServer {
  port = 0
  version = 0
  packed = {}
  waiting = null
  refused = null
  ads = new AdsServer({
    accept: () => ({ ok: true }),
    onNack: nack => (this.refused = new Error(`refused: ${nack.message}`)),
    onSynced: (_node, version) => {
      if (version === String(this.version)) this.waiting?.()
    },
  })
  server = new GrpcServer({ maxMessageBytes: MAX_MESSAGE_BYTES, isKnown: () => true, onProblem: reason => console.error(reason) })

  async start() {
    addAds(this.server, this.ads)
    this.port = await this.server.listen('127.0.0.1', 0)
    return this
  }

  /** Encodes what `push` will send, so that the time to apply does not hold it. `config`: JSON lists by kind; other kinds stay. */
  prepare(config) {
    for (const [kind, list] of Object.entries(config)) this.packed[kind] = list.map(json => pack(KINDS[kind], json))
  }

  /** Sends what was prepared; resolves when the proxy has acknowledged all of it. */
  push() {
    this.version++
    const acknowledged = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`not acknowledged within ${ACKNOWLEDGED_WITHIN_MS / 1000} s`)), ACKNOWLEDGED_WITHIN_MS)
      late.unref()
      this.waiting = () => {
        clearTimeout(late)
        if (this.refused === null) resolve()
        else reject(this.refused)
      }
    })
    // Of a change that the next one overtakes nobody waits for the word.
    acknowledged.catch(() => {})
    this.ads.setSnapshot(NODE, makeSnapshot(Object.values(this.packed).flat()), String(this.version))
    return acknowledged
  }

  stop() {
    this.ads.close()
    return this.server.close()
  }
}
