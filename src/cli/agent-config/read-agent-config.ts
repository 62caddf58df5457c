// Reads Consul's agent configuration: files and folders (HCL, JSON), one after the other, into one object with Consul's names. Called by the
// agent command at start and on every reload, and by `outrigger validate`. Rules of merging as Consul's: a later value stands in place of an
// earlier one, lists are joined, objects are merged key by key.
// Invariant: every key is one of agent-keys.ts with its type, or the file is refused with its name and the key's path.
import { readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseDuration } from '../../control/config-entries/duration.js'
import { readHcl } from '../../control/hcl/read-hcl.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { AGENT_KEYS, type AgentKey, type AgentKeys, isAgentKey, type KeyReader, type KeyType } from './agent-keys.js'

export type ConfigObject = { [key: string]: unknown }

export interface ReadConfig {
  /** Merged, with Consul's lower-case names; only keys of agent-keys.ts. */
  readonly values: ConfigObject
  readonly files: readonly string[]
}

const MAX_FILE_BYTES = 16 * 1024 * 1024

/** `paths` are files or folders in their order; of a folder, its `.hcl` and `.json` files by name. Throws `CliError` with a line a problem. */
export function readAgentConfig(paths: readonly string[], format: 'hcl' | 'json' | undefined, io: CommandIo): ReadConfig {
  const files = paths.flatMap(path => configFiles(path, format))
  const problems: string[] = []
  const values: ConfigObject = {}
  for (const file of files) {
    const parsed = parseFile(file, format, io, problems)
    if (parsed !== undefined) mergeInto(values, inLists(checked(parsed, AGENT_KEYS, '', file, problems)))
  }
  if (problems.length > 0) throw new CliError(problems.join('\n'))
  return { values, files }
}

/** One value by a path of names, as a flag gives it; later than all files. Throws `CliError` that names the flag. */
export function setValue(values: ConfigObject, path: string, given: unknown, flag: string): void {
  const names = path.split('.')
  const last = names.pop()!
  let object = values
  let keys: AgentKey | AgentKeys = AGENT_KEYS
  for (const name of names) {
    object = (object[name] ??= {}) as ConfigObject
    keys = (keys as AgentKeys)[name]!
  }
  const entry = (keys as AgentKeys)[last] as AgentKey
  const value = typedValue(given, entry)
  if (value === undefined) throw new CliError(`${flag} "${String(given)}": must be ${WORDS[entry.type]}`)
  mergeInto(object, { [last]: value })
}

/** Paths of the keys that are given and that `reader` does not go by. */
export function keysWithoutEffect(values: ConfigObject, reader: 'server' | 'client'): string[] {
  const found: string[] = []
  const reads = (by: KeyReader): boolean => by === 'both' || by === reader
  const walk = (object: ConfigObject, keys: AgentKeys, path: string): void => {
    for (const [name, value] of Object.entries(object)) {
      const entry = keys[name]
      if (entry === undefined) continue
      if (!isAgentKey(entry)) walk(value as ConfigObject, entry, `${path}${name}.`)
      else if (!reads(entry.reader)) found.push(`${path}${name}`)
    }
  }
  walk(values, AGENT_KEYS, '')
  return found.sort()
}

function configFiles(path: string, format: string | undefined): string[] {
  let isFolder: boolean
  try {
    isFolder = statSync(path).isDirectory()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new CliError(`${path}: ${code === 'ENOENT' ? 'no such file or folder' : message}`)
  }
  if (!isFolder) return [path]
  const names = readdirSync(path, { withFileTypes: true })
    .filter(entry => !entry.isDirectory() && (format !== undefined || /\.(hcl|json)$/.test(entry.name)))
    .map(({ name }) => name)
  // By bytes, as Go sorts.
  return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).map(name => join(path, name))
}

function parseFile(file: string, format: string | undefined, io: CommandIo, problems: string[]): ConfigObject | undefined {
  const kind = format ?? /\.(hcl|json)$/.exec(basename(file))?.[1]
  if (kind === undefined) {
    problems.push(`${file}: must end in .hcl or .json, or -config-format must say which it is`)
    return undefined
  }
  const text = io.readText(file)
  if (text.length > MAX_FILE_BYTES) {
    problems.push(`${file}: larger than ${MAX_FILE_BYTES} bytes`)
    return undefined
  }
  if (text.trim() === '') return {}
  try {
    const value: unknown = kind === 'json' ? JSON.parse(text) : readHcl(text)
    if (isPlain(value)) return value
    problems.push(`${file}: must be an object`)
  } catch (error) {
    problems.push(`${file}: ${(error as Error).message}`)
  }
  return undefined
}

function checked(object: ConfigObject, keys: AgentKeys, path: string, file: string, problems: string[]): ConfigObject {
  const result: ConfigObject = {}
  for (const [given, value] of Object.entries(object)) {
    const name = given.toLowerCase()
    const at = `${path}${given}`
    const entry = Object.hasOwn(keys, name) ? keys[name] : undefined
    if (value === null) continue
    if (entry === undefined) problems.push(`${file}: invalid config key ${at}`)
    else if (isAgentKey(entry)) {
      const read = typedValue(value, entry)
      if (read === undefined) problems.push(`${file}: ${at}: must be ${WORDS[entry.type]}`)
      else result[name] = read
    } else {
      // HCL blocks given more than once are a list.
      const blocks = Array.isArray(value) ? value : [value]
      const inner: ConfigObject = {}
      for (const block of blocks) {
        if (isPlain(block)) mergeInto(inner, checked(block, entry, `${at}.`, file, problems))
        else problems.push(`${file}: ${at}: must be an object`)
      }
      result[name] = inner
    }
  }
  return result
}

/** `service` and `check` are one more of `services` and `checks`. */
function inLists({ service, check, ...rest }: ConfigObject): ConfigObject {
  const join = (list: unknown, one: unknown): unknown => [
    ...((list as unknown[] | undefined) ?? []),
    ...((one as unknown[] | undefined) ?? []),
  ]
  return {
    ...rest,
    ...(service === undefined ? {} : { services: join(rest['services'], service) }),
    ...(check === undefined ? {} : { checks: join(rest['checks'], check) }),
  }
}

const WORDS: Readonly<Record<KeyType, string>> = {
  text: 'a string',
  flag: 'true or false',
  number: 'a whole number',
  duration: 'a duration such as "10s"',
  texts: 'a list of strings',
  'text-map': 'a map of strings',
  map: 'an object',
  maps: 'a list of objects',
}

/** Undefined: not of that type. Consul's decoder is lenient where a value can mean one thing only, and so is this. */
function typedValue(value: unknown, { type }: AgentKey): unknown {
  switch (type) {
    case 'text':
      return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined
    case 'flag':
      return typeof value === 'boolean' ? value : value === 'true' ? true : value === 'false' ? false : undefined
    case 'number':
      return Number.isInteger(value) ? value : typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : undefined
    case 'duration':
      return typeof value === 'string' && parseDuration(value) !== undefined ? value : undefined
    case 'texts': {
      const list = Array.isArray(value) ? value : [value]
      return list.every(item => typeof item === 'string') ? list : undefined
    }
    case 'text-map': {
      if (!isPlain(value)) return undefined
      const entries = Object.entries(value)
      return entries.every(([, item]) => ['string', 'number', 'boolean'].includes(typeof item))
        ? Object.fromEntries(entries.map(([name, item]) => [name, String(item)]))
        : undefined
    }
    case 'map': {
      if (Array.isArray(value) && value.length === 1 && isPlain(value[0])) return value[0]
      return isPlain(value) ? value : undefined
    }
    case 'maps': {
      const list = Array.isArray(value) ? value : [value]
      return list.every(isPlain) ? list : undefined
    }
  }
}

function mergeInto(target: ConfigObject, source: ConfigObject): void {
  for (const [name, value] of Object.entries(source)) {
    const before = target[name]
    if (Array.isArray(before) && Array.isArray(value)) target[name] = [...before, ...value]
    else if (isPlain(before) && isPlain(value)) mergeInto(before, value)
    else target[name] = value
  }
}

function isPlain(value: unknown): value is ConfigObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
