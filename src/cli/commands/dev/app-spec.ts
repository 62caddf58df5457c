// An application with its place in the mesh, as `outrigger run` and `outrigger dev` are told of it: flags and file both become an `AppSpec`. Used by
// run.ts, dev.ts and dev-file.ts.
import { CliError } from '../../command-line/command-io.js'

export interface UpstreamSpec {
  readonly service: string
  /** Where the application calls it, on loopback; 0 = any free port. */
  readonly port: number
}

export interface AppSpec {
  readonly service: string
  /** Of its instance. */
  readonly id: string
  /** The program and its arguments, or one line for the shell. */
  readonly command: readonly string[] | string
  /** Where the application listens; 0 = where its PORT says, any free one. */
  readonly port: number
  readonly upstreams: readonly UpstreamSpec[]
  /** '' = as the mesh says. */
  readonly protocol: string
  readonly env: Readonly<Record<string, string>>
  /** Files and folders whose changes restart it. */
  readonly watch: readonly string[]
}

export const PROTOCOLS: readonly string[] = ['http', 'http2', 'grpc', 'tcp']
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/

/** Throws `CliError` that names `where`. */
export function checkServiceName(name: string, where: string): string {
  if (!NAME.test(name)) throw new CliError(`${where}: "${name}" is no name of a service`)
  return name
}

/** `name`, or `name:port`. */
export function parseUpstream(text: string, where: string): UpstreamSpec {
  const [service = '', port] = text.split(':', 2)
  return { service: checkServiceName(service, where), port: port === undefined ? 0 : parsePort(port, where) }
}

export function parsePort(text: string | number, where: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(String(text)) || port > 65_535) throw new CliError(`${where}: "${text}" is no port`)
  return port
}

export function checkProtocol(protocol: string, where: string): string {
  if (!PROTOCOLS.includes(protocol)) throw new CliError(`${where}: "${protocol}" is none of ${PROTOCOLS.join(', ')}`)
  return protocol
}

/** What the application finds in its environment: its port, and where its upstreams are. */
export function appEnvironment(spec: AppSpec): Record<string, string> {
  const found: Record<string, string> = { OUTRIGGER_SERVICE: spec.service, PORT: String(spec.port) }
  for (const { service, port } of spec.upstreams) {
    const name = service.toUpperCase().replace(/[^A-Z0-9]/g, '_')
    found[`${name}_HOST`] = '127.0.0.1'
    found[`${name}_PORT`] = String(port)
    found[`${name}_URL`] = `http://127.0.0.1:${port}`
  }
  return { ...found, ...spec.env }
}
