// Consul's service definition (`PUT /v1/agent/service/register`, `services` of mesh.yaml) as validated values in canonical form.
// Called by the HTTP API and the mesh file; the result goes to `Catalog.register`. A `Connect.SidecarService` becomes an
// instance of its own, with Consul's defaults; only its automatic port is left to the catalog, which knows the free ones.
// Invariant: an instance made here can be turned into Envoy resources without further checks.
import { isIP } from 'node:net'
import { FieldReader, isObject } from '../config-entries/field-reader.js'
import { type ConfigKeys, configProblems, PROXY_CONFIG_KEYS, UPSTREAM_CONFIG_KEYS } from '../config-entries/proxy-config-keys.js'
import type { ConfigError, Expose, ExposePath, MeshGatewayMode } from '../config-entries/types.js'
import { PEER_NAME } from '../peering/peer-name.js'
import { type CheckDefinition, type CheckOptions, readChecks } from './check-definition.js'
import { type Locality, readLocality } from './locality.js'
import { checkMeta, checkMetaSize } from './metadata.js'
import { readTransparentFields, type TransparentRegistration } from './transparent-fields.js'

const MESH_GATEWAY_MODES: readonly string[] = ['', 'none', 'local', 'remote'] satisfies ('' | MeshGatewayMode)[]
export const MAX_UPSTREAMS_PER_PROXY = 512
const MAX_PORTS = 64
const MAX_EXPOSED_PATHS = 64

export const GATEWAY_KINDS = ['terminating-gateway', 'api-gateway', 'ingress-gateway', 'mesh-gateway'] as const
export type GatewayKind = (typeof GATEWAY_KINDS)[number]
export type ServiceKind = '' | 'connect-proxy' | GatewayKind
/** Those that stand at an address of their own, which others are told. */
const ADDRESSED_GATEWAYS: ReadonlySet<string> = new Set<GatewayKind>(['terminating-gateway', 'mesh-gateway'])

export interface Upstream {
  readonly DestinationType: 'service'
  readonly DestinationName: string
  readonly DestinationNamespace: 'default'
  readonly DestinationPartition: 'default'
  /** The peer that exports it; absent: a service of ours. */
  readonly DestinationPeer?: string
  /** Empty: the proxy's own datacenter. */
  readonly Datacenter: string
  readonly LocalBindAddress: string
  readonly LocalBindPort: number
  readonly LocalBindSocketPath: string
  readonly LocalBindSocketMode: string
  /** Absent: as the proxy's, and the entries', say. */
  readonly MeshGateway?: MeshGatewayMode
  readonly Config: Readonly<Record<string, unknown>>
}

export interface ProxyRegistration extends TransparentRegistration {
  /** '' for a gateway, which stands for itself. */
  readonly DestinationServiceName: string
  readonly DestinationServiceID: string
  readonly LocalServiceAddress: string
  readonly LocalServicePort: number
  readonly LocalServiceSocketPath: string
  readonly Config: Readonly<Record<string, unknown>>
  readonly Upstreams: readonly Upstream[]
  /** Absent: as the upstreams, and the entries, say. */
  readonly MeshGateway?: MeshGatewayMode
  /** Absent in what older versions have stored. */
  readonly Expose?: Expose
}

export interface ServiceInstance {
  readonly ID: string
  readonly Kind: ServiceKind
  /** The service's name. */
  readonly Service: string
  readonly Tags: readonly string[]
  readonly Meta: Readonly<Record<string, string>>
  readonly Address: string
  readonly Port: number
  readonly SocketPath: string
  readonly TaggedAddresses: Readonly<Record<string, { readonly Address: string; readonly Port: number }>>
  readonly Weights: { readonly Passing: number; readonly Warning: number }
  readonly EnableTagOverride: boolean
  /** Set for connect-proxy and the gateways. */
  readonly Proxy?: ProxyRegistration
  /** Absent: that of its node. */
  readonly Locality?: Locality
  /** The service speaks mesh TLS itself. */
  readonly Native: boolean
  /** Made from another service's `SidecarService`: leaves the catalog with it. */
  readonly LocallyRegisteredAsSidecar: boolean
}

export interface Registration {
  readonly instance: ServiceInstance
  /** Port 0: the catalog picks one. */
  readonly sidecar?: ServiceInstance
  readonly checks: readonly CheckDefinition[]
  /** What has no effect, with its path. */
  readonly warnings: readonly ConfigError[]
}

export type ParsedRegistration =
  | { readonly ok: true; readonly value: Registration }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

// A name becomes a segment of a SPIFFE id, a label of a server name and a regex literal; what would end one of these is refused.
export const SERVICE_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/
const INSTANCE_ID = /^[\x21-\x7e]{1,256}$/

/**
 * `strict` (files) refuses unknown fields; without it (HTTP, where stock clients send what they like) they are ignored, as Consul does.
 */
export function parseServiceDefinition(
  value: unknown,
  options: { readonly strict: boolean; readonly scripts?: boolean },
): ParsedRegistration {
  if (!isObject(value)) return { ok: false, errors: [{ path: '', reason: 'must be an object' }] }
  const errors: ConfigError[] = []
  const readers: FieldReader[] = []
  const registration = readRegistration(new FieldReader(value, '', errors), readers, { scripts: options.scripts === true })
  if (options.strict) for (const reader of readers) reader.refuseUnknown()
  return errors.length === 0 ? { ok: true, value: registration } : { ok: false, errors }
}

function readRegistration(fields: FieldReader, readers: FieldReader[], options: CheckOptions): Registration {
  const checks: CheckDefinition[] = []
  const connect = fields.object('Connect')
  const instance = readInstance(fields, readers, undefined, connect?.boolean('Native') ?? false)
  checks.push(...readChecks(fields, readers, instance, options))
  if (connect === undefined) return { instance, checks, warnings: fields.warnings }
  readers.push(connect)
  const sidecarFields = connect.object('SidecarService')
  if (sidecarFields === undefined) return { instance, checks, warnings: fields.warnings }
  if (instance.Kind !== '') connect.fail('SidecarService', 'a proxy can have no sidecar')
  if (sidecarFields.object('Connect')?.has('SidecarService')) sidecarFields.fail('Connect.SidecarService', 'sidecars cannot be nested')
  const sidecar = readInstance(sidecarFields, readers, instance, false)
  if (sidecar.ID === instance.ID) sidecarFields.fail('ID', `is the ID of the service itself (${instance.ID})`)
  checks.push(...readChecks(sidecarFields, readers, sidecar, options))
  return { instance, sidecar, checks, warnings: fields.warnings }
}

/** A service as `/v1/catalog/register` and transactions have it: its name is `Service`, and it stands for itself. */
export function readCatalogService(fields: FieldReader): ServiceInstance {
  const connect = fields.object('Connect')
  if (connect?.has('SidecarService') === true) connect.fail('SidecarService', 'only agents register sidecars with their services')
  return readInstance(fields, [], undefined, connect?.boolean('Native') ?? false, 'Service')
}

/** `owner` is the service whose `SidecarService` this is. */
function readInstance(
  fields: FieldReader,
  readers: FieldReader[],
  owner: ServiceInstance | undefined,
  native: boolean,
  nameField: 'Name' | 'Service' = 'Name',
): ServiceInstance {
  readers.push(fields)
  fields.ignore('Namespace', 'Partition', 'Token', 'Datacenter', 'Check', 'Checks', 'Connect')
  if (fields.objects('Ports', MAX_PORTS).length > 0) fields.fail('Ports', 'several ports of one service are not supported')
  requireDefault(fields, 'Namespace')
  requireDefault(fields, 'Partition')
  const name = fields.string(nameField, owner === undefined ? '' : `${owner.Service}-sidecar-proxy`)
  if (name === '') fields.fail(nameField, 'missing')
  else if (!SERVICE_NAME.test(name)) fields.fail(nameField, 'must be 1 to 128 letters, digits, ".", "_" or "-"')
  const id = fields.string('ID', owner === undefined ? name : `${owner.ID}-sidecar-proxy`) || name
  if (name !== '' && !INSTANCE_ID.test(id)) fields.fail('ID', 'must be 1 to 256 visible ASCII characters')
  const kind = fields.string('Kind', owner === undefined ? '' : 'connect-proxy')
  const isGateway = (GATEWAY_KINDS as readonly string[]).includes(kind)
  if (kind !== '' && kind !== 'connect-proxy' && !isGateway)
    fields.fail('Kind', `"${kind}" is not supported (only a connect-proxy, a gateway, or none)`)
  const tags = fields.strings('Tags')
  const meta = fields.stringMap('Meta')
  if (nameField === 'Name') checkMeta(fields, 'Meta', meta)
  else checkMetaSize(fields, 'Meta', meta)
  const isProxy = kind === 'connect-proxy'
  const proxyFields = fields.object('Proxy')
  if (!isProxy && !isGateway && proxyFields !== undefined)
    fields.fail('Proxy', 'only for Kind connect-proxy and gateways (or under Connect.SidecarService)')
  const port = fields.integer('Port', 0, 65_535, 0)
  const socketPath = fields.string('SocketPath')
  const address = fields.string('Address') || (owner?.Address ?? '')
  // Callers would dial themselves.
  if (nameField === 'Name' && owner === undefined && (address === '0.0.0.0' || address === '::'))
    fields.fail('Address', 'Invalid service address')
  // Endpoints travel by EDS, which takes addresses and no names.
  const reached = isProxy || isGateway || native ? address : ''
  if (reached && isIP(reached) === 0 && socketPath === '')
    fields.fail(
      'Address',
      `"${reached}" must be an IP address: callers' sidecars reach ${isProxy ? 'a sidecar' : isGateway ? 'a gateway' : 'a connect-native service'} by it, and can't look up names`,
    )
  const proxy = isProxy
    ? readProxy(fields, proxyFields, readers, owner)
    : isGateway
      ? readGateway(fields, proxyFields, readers, kind)
      : undefined
  if (isGateway && native) fields.fail('Connect.Native', `a ${kind} can't be connect-native`)
  if (ADDRESSED_GATEWAYS.has(kind) && port === 0) fields.fail('Port', `must be non-zero for a ${kind}`)
  const locality = readLocality(fields, readers) ?? owner?.Locality
  if (isProxy && owner === undefined && port === 0 && socketPath === '')
    fields.fail('Port', 'Port or SocketPath must be set for a Connect proxy')
  return {
    ID: id,
    Kind: kind as ServiceKind,
    Service: name,
    Tags: tags.length === 0 && owner !== undefined ? owner.Tags : tags,
    Meta: Object.keys(meta).length === 0 && owner !== undefined ? owner.Meta : meta,
    Address: address,
    Port: port,
    SocketPath: socketPath,
    TaggedAddresses: withFamilies(readTaggedAddresses(fields, readers), nameField === 'Name' ? address : '', port),
    Weights: readWeights(fields, readers, nameField === 'Name'),
    EnableTagOverride: fields.boolean('EnableTagOverride'),
    ...(proxy === undefined ? {} : { Proxy: proxy }),
    Native: native,
    ...(locality === undefined ? {} : { Locality: locality }),
    LocallyRegisteredAsSidecar: owner !== undefined,
  }
}

/** An agent names an address by its family too, for the LAN and the WAN, unless the registration does. */
function withFamilies(tagged: ServiceInstance['TaggedAddresses'], address: string, port: number): ServiceInstance['TaggedAddresses'] {
  const family = isIP(address)
  if (family === 0) return tagged
  const own = { Address: address, Port: port }
  return { [`lan_ipv${family}`]: own, [`wan_ipv${family}`]: own, ...tagged }
}

function readProxy(
  fields: FieldReader,
  proxy: FieldReader | undefined,
  readers: FieldReader[],
  owner: ServiceInstance | undefined,
): ProxyRegistration {
  const reader = proxy ?? new FieldReader({}, fields.child('Proxy'), fields.errors)
  readers.push(reader)
  warnWithoutEffect(reader)
  const destination = reader.string('DestinationServiceName', owner?.Service ?? '')
  if (destination === '') reader.fail('DestinationServiceName', 'must be non-empty for Connect proxy services')
  else if (!SERVICE_NAME.test(destination)) reader.fail('DestinationServiceName', 'is not a service name')
  const isAddressed = reader.string('LocalServiceAddress') !== '' && reader.integer('LocalServicePort', 0, 65_535, 0) > 0
  const socketPath = reader.string('LocalServiceSocketPath') || (isAddressed ? '' : (owner?.SocketPath ?? ''))
  const upstreams = reader.objects('Upstreams', MAX_UPSTREAMS_PER_PROXY).map(upstream => readUpstream(upstream, readers))
  const binds = new Map<string, number>()
  upstreams.forEach((upstream, i) => {
    const bind = upstream.LocalBindSocketPath || `${upstream.LocalBindAddress}:${upstream.LocalBindPort}`
    const before = binds.get(bind)
    if (before !== undefined) reader.fail(`Upstreams[${i}]`, `binds ${bind}, which Upstreams[${before}] has already`)
    binds.set(bind, i)
  })
  return {
    DestinationServiceName: destination,
    DestinationServiceID: reader.string('DestinationServiceID', owner?.ID ?? ''),
    LocalServiceAddress: reader.string('LocalServiceAddress', socketPath === '' ? '127.0.0.1' : ''),
    LocalServicePort: reader.integer('LocalServicePort', 0, 65_535, socketPath === '' ? (owner?.Port ?? 0) : 0),
    LocalServiceSocketPath: socketPath,
    Config: readConfig(reader, PROXY_CONFIG_KEYS),
    Upstreams: upstreams,
    ...readMeshGateway(reader),
    ...readTransparentFields(reader, readers),
    Expose: readExpose(reader.object('Expose'), readers),
  }
}

/** A gateway has nothing of a sidecar but its configuration. */
function readGateway(fields: FieldReader, proxy: FieldReader | undefined, readers: FieldReader[], kind: string): ProxyRegistration {
  const reader = proxy ?? new FieldReader({}, fields.child('Proxy'), fields.errors)
  readers.push(reader)
  for (const name of ['DestinationServiceName', 'DestinationServiceID', 'LocalServiceAddress', 'LocalServiceSocketPath'])
    if (reader.string(name) !== '') reader.fail(name, `is invalid for a ${kind}`)
  if (reader.integer('LocalServicePort', 0, 65_535, 0) !== 0) reader.fail('LocalServicePort', `is invalid for a ${kind}`)
  if (reader.objects('Upstreams', MAX_UPSTREAMS_PER_PROXY).length > 0) reader.fail('Upstreams', `is invalid for a ${kind}`)
  if (reader.string('Mode') === 'transparent') reader.fail('Mode', `transparent is invalid for a ${kind}`)
  reader.ignore('Mode', 'Expose')
  for (const name of ['TransparentProxy', 'MutualTLSMode']) if (reader.has(name)) reader.warn(name, `has no effect for a ${kind}`)
  warnWithoutEffect(reader)
  return {
    DestinationServiceName: '',
    DestinationServiceID: '',
    LocalServiceAddress: '',
    LocalServicePort: 0,
    LocalServiceSocketPath: '',
    Config: readConfig(reader, PROXY_CONFIG_KEYS),
    Upstreams: [],
  }
}

/** What gateways and the central configuration are for. */
function warnWithoutEffect(fields: FieldReader): void {
  fields.ignore('MeshGateway', 'AccessLogs', 'EnvoyExtensions')
  for (const name of ['AccessLogs', 'EnvoyExtensions'])
    if (fields.has(name)) fields.warn(name, 'has no effect here: it belongs into proxy-defaults or service-defaults')
}

function readMeshGateway(fields: FieldReader): { readonly MeshGateway?: MeshGatewayMode } {
  const gateway = fields.object('MeshGateway')
  const mode = gateway?.string('Mode') ?? ''
  if (!MESH_GATEWAY_MODES.includes(mode)) gateway!.fail('Mode', `"${mode}" must be none, local or remote`)
  return mode === '' ? {} : { MeshGateway: mode as MeshGatewayMode }
}

function readConfig(fields: FieldReader, keys: ConfigKeys): Record<string, unknown> {
  const config = fields.opaque('Config')
  const { errors, warnings } = configProblems(config, keys, fields.child('Config'))
  fields.errors.push(...errors)
  fields.warnings.push(...warnings)
  return config
}

function readExpose(fields: FieldReader | undefined, readers: FieldReader[]): Expose {
  if (fields === undefined) return {}
  readers.push(fields)
  const Checks = fields.boolean('Checks')
  const Paths = fields.objects('Paths', MAX_EXPOSED_PATHS).map((path): ExposePath => {
    readers.push(path)
    path.ignore('ParsedFromCheck')
    const Path = path.string('Path')
    if (!Path.startsWith('/')) path.fail('Path', 'must begin with "/"')
    const Protocol = path.string('Protocol') || 'http'
    if (Protocol !== 'http' && Protocol !== 'http2') path.fail('Protocol', 'must be http or http2')
    const ListenerPort = path.integer('ListenerPort', 0, 65_535, 0)
    if (ListenerPort === 0) path.fail('ListenerPort', 'missing')
    return { Path, LocalPathPort: path.integer('LocalPathPort', 0, 65_535, 0), ListenerPort, Protocol: Protocol as 'http' | 'http2' }
  })
  return { ...(Checks && { Checks }), ...(Paths.length > 0 && { Paths }) }
}

function readUpstream(fields: FieldReader, readers: FieldReader[]): Upstream {
  readers.push(fields)
  fields.ignore('IngressHosts', 'CentrallyConfigured')
  const type = fields.string('DestinationType', 'service') || 'service'
  if (type !== 'service') fields.fail('DestinationType', `"${type}" is not supported (only service)`)
  const peer = fields.string('DestinationPeer')
  if (peer !== '' && !PEER_NAME.test(peer)) fields.fail('DestinationPeer', 'is not the name of a peer')
  if (peer !== '' && fields.string('Datacenter') !== '') fields.fail('Datacenter', 'excludes DestinationPeer')
  requireDefault(fields, 'DestinationNamespace')
  requireDefault(fields, 'DestinationPartition')
  const name = fields.string('DestinationName')
  if (name === '') fields.fail('DestinationName', 'missing')
  else if (name === '*') fields.fail('DestinationName', 'wildcard upstreams are not supported')
  else if (!SERVICE_NAME.test(name)) fields.fail('DestinationName', 'is not a service name')
  const port = fields.integer('LocalBindPort', 0, 65_535, 0)
  const socketPath = fields.string('LocalBindSocketPath')
  if (port === 0 && socketPath === '') fields.fail('LocalBindPort', 'LocalBindPort or LocalBindSocketPath must be set')
  if (port !== 0 && socketPath !== '') fields.fail('LocalBindSocketPath', 'excludes LocalBindPort')
  const address = fields.string('LocalBindAddress') || '127.0.0.1'
  if (isIP(address) === 0) fields.fail('LocalBindAddress', `"${address}" must be an IP address`)
  const mode = fields.string('LocalBindSocketMode')
  if (mode !== '' && !/^0?[0-7]{3}$/.test(mode)) fields.fail('LocalBindSocketMode', 'must be an octal mode such as 0600')
  return {
    DestinationType: 'service',
    DestinationName: name,
    DestinationNamespace: 'default',
    DestinationPartition: 'default',
    ...(peer === '' ? {} : { DestinationPeer: peer }),
    Datacenter: fields.string('Datacenter'),
    LocalBindAddress: address,
    LocalBindPort: port,
    LocalBindSocketPath: socketPath,
    LocalBindSocketMode: mode,
    ...readMeshGateway(fields),
    Config: readConfig(fields, UPSTREAM_CONFIG_KEYS),
  }
}

function requireDefault(fields: FieldReader, name: string): void {
  const value = fields.string(name)
  if (value !== '' && value !== 'default') fields.fail(name, `"${value}" is not supported (only default)`)
}

/** Agents refuse a `Passing` of 0. In the catalog two zeros are weights that nobody set: Consul's Go client sends them with every service. */
function readWeights(fields: FieldReader, readers: FieldReader[], ofAgent: boolean): ServiceInstance['Weights'] {
  const unset = { Passing: 1, Warning: 1 }
  const weights = fields.object('Weights')
  if (weights === undefined) return unset
  readers.push(weights)
  const read = { Passing: weights.integer('Passing', ofAgent ? 1 : 0, 65_535, 1), Warning: weights.integer('Warning', 0, 65_535, 1) }
  return !ofAgent && read.Passing === 0 && read.Warning === 0 ? unset : read
}

function readTaggedAddresses(fields: FieldReader, readers: FieldReader[]): ServiceInstance['TaggedAddresses'] {
  const raw = fields.opaque('TaggedAddresses')
  const addresses: Record<string, { Address: string; Port: number }> = Object.create(null)
  for (const [tag, value] of Object.entries(raw)) {
    if (!isObject(value)) {
      fields.fail(`TaggedAddresses.${tag}`, 'must be an object')
      continue
    }
    const reader = new FieldReader(value, fields.child(`TaggedAddresses.${tag}`), fields.errors)
    readers.push(reader)
    addresses[tag] = { Address: reader.string('Address'), Port: reader.integer('Port', 0, 65_535, 0) }
  }
  return addresses
}
