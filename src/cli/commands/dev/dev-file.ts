// The file of `outrigger dev`: services with their commands, and config entries beside them. Read by dev.ts. Invariant: what is not known is
// refused with its place, so that a slip of the pen is not a setting that does nothing.
//
//   services:
//     api: node api.js
//     web: { run: node web.js, port: 8080, upstreams: [api], watch: [web.js, views], env: { DEBUG: '1' } }
//   config_entries: [{ Kind: service-router, Name: api, … }]
//   default_intention_policy: allow
import { dirname, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { CliError } from '../../command-line/command-io.js'
import { type AppSpec, checkProtocol, checkServiceName, parsePort, parseUpstream } from './app-spec.js'

export interface DevMesh {
  readonly apps: readonly AppSpec[]
  readonly configEntries: readonly object[]
  readonly policy: 'allow' | 'deny'
}

/** An application of which nothing is said speaks HTTP: what dev is for, and what shows most. */
export const DEV_PROTOCOL = 'http'
const MAX_YAML_ALIASES = 100
const KEYS = ['services', 'config_entries', 'default_intention_policy']
const SERVICE_KEYS = ['run', 'port', 'upstreams', 'protocol', 'env', 'watch']

type Fields = Readonly<Record<string, unknown>>

/** Throws `CliError` that names file and place. */
export function readDevFile(text: string, file: string): DevMesh {
  const document = parseDocument(text, { uniqueKeys: true })
  const problem = document.errors[0]
  if (problem !== undefined) throw new CliError(`${file}: not YAML: ${problem.message.split('\n')[0]!.replace(/:$/, '')}`)
  const top = fieldsOf(document.toJS({ maxAliasCount: MAX_YAML_ALIASES }), file, KEYS)
  const services = fieldsOf(top['services'] ?? {}, `${file}: services`)
  const apps = Object.entries(services).map(([name, value]) => appOf(name, value, `${file}: services.${name}`, dirname(file)))
  if (apps.length === 0) throw new CliError(`${file}: services: none is named`)
  const entries = top['config_entries'] ?? []
  if (!Array.isArray(entries)) throw new CliError(`${file}: config_entries: must be a list`)
  entries.forEach((entry, i) => void fieldsOf(entry, `${file}: config_entries[${i}]`))
  const policy = top['default_intention_policy'] ?? 'allow'
  if (policy !== 'allow' && policy !== 'deny') throw new CliError(`${file}: default_intention_policy: must be allow or deny`)
  return { apps, configEntries: entries, policy }
}

function appOf(name: string, value: unknown, where: string, folder: string): AppSpec {
  checkServiceName(name, where)
  const fields = typeof value === 'string' ? { run: value } : fieldsOf(value, where, SERVICE_KEYS)
  const { run, port = 0, upstreams = [], protocol = DEV_PROTOCOL, env = {}, watch } = fields as Record<string, unknown>
  if (typeof run !== 'string' || run === '') throw new CliError(`${where}.run: must be the command that starts it`)
  return {
    service: name,
    id: name,
    command: run,
    port: parsePort(port as number, `${where}.port`),
    upstreams: textsOf(upstreams, `${where}.upstreams`).map((text, i) => parseUpstream(text, `${where}.upstreams[${i}]`)),
    protocol: checkProtocol(String(protocol), `${where}.protocol`),
    env: Object.fromEntries(Object.entries(fieldsOf(env, `${where}.env`)).map(([key, text]) => [key, String(text)])),
    watch: watch === undefined ? filesOf(run) : textsOf(watch, `${where}.watch`).map(path => resolve(folder, path)),
  }
}

/** The words of a command that look like the files it runs. */
export function filesOf(command: string): string[] {
  return command.split(/\s+/).filter(word => /^[\w./-]+\.(?:[cm]?[jt]s|py|rb)$/.test(word))
}

function fieldsOf(value: unknown, where: string, known?: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new CliError(`${where}: must be an object`)
  const unknown = known === undefined ? undefined : Object.keys(value).find(key => !known.includes(key))
  if (unknown !== undefined) throw new CliError(`${where}: "${unknown}" is none of ${known!.join(', ')}`)
  return value as Fields
}

function textsOf(value: unknown, where: string): string[] {
  if (!Array.isArray(value) || value.some(item => typeof item !== 'string')) throw new CliError(`${where}: must be a list of texts`)
  return value as string[]
}
