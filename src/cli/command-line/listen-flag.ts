// `host:port` of a flag that says where a command listens. Used by commands/k8s.
import { CliError } from './command-io.js'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

export function listenAddress(flag: string, text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3] ?? -1)
  if (match === null || port > 65_535) throw new CliError(`${flag} "${text}": must be host:port`)
  return { host: match[1] ?? match[2]!, port }
}
