// What a sidecar's registration says of transparent proxying: `Mode`, `TransparentProxy` and `MutualTLSMode`. Called by
// service-definition.ts; read by the snapshot, where the config entries fill in what is left open.
import type { FieldReader } from '../config-entries/field-reader.js'
import type { MutualTlsMode, ProxyMode, TransparentProxy } from '../config-entries/types.js'

/** Absent: not said here. */
export interface TransparentRegistration {
  readonly Mode?: ProxyMode
  readonly TransparentProxy?: TransparentProxy
  readonly MutualTLSMode?: MutualTlsMode
}

const MODES: ReadonlySet<string> = new Set<ProxyMode>(['direct', 'transparent'])
const MUTUAL_TLS_MODES: ReadonlySet<string> = new Set<MutualTlsMode>(['strict', 'permissive'])

export function readTransparentFields(reader: FieldReader, readers: FieldReader[]): TransparentRegistration {
  const mode = reader.string('Mode')
  if (mode !== '' && !MODES.has(mode)) reader.fail('Mode', 'must be direct or transparent')
  const mutualTls = reader.string('MutualTLSMode')
  if (mutualTls !== '' && !MUTUAL_TLS_MODES.has(mutualTls)) reader.fail('MutualTLSMode', 'must be strict or permissive')
  const settings = reader.object('TransparentProxy')
  if (settings !== undefined) readers.push(settings)
  const port = settings?.integer('OutboundListenerPort', 0, 65_535, 0) ?? 0
  const direct = settings?.boolean('DialedDirectly') ?? false
  return {
    ...(mode === '' ? {} : { Mode: mode as ProxyMode }),
    ...(port === 0 && !direct
      ? {}
      : { TransparentProxy: { ...(port === 0 ? {} : { OutboundListenerPort: port }), ...(direct ? { DialedDirectly: true } : {}) } }),
    ...(mutualTls === '' ? {} : { MutualTLSMode: mutualTls as MutualTlsMode }),
  }
}
