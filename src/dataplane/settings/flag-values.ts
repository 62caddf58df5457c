// What is said of consul-dataplane's settings, from all sides, as one value a flag: the command line over the environment over the configuration
// file over what the table says. Made by settings.ts. Invariant: a value of the wrong form is refused with where it stands; so is a key of
// the file that no flag has.
import { parseDuration } from '../../control/config-entries/duration.js'
import { DATAPLANE_FLAGS, type DataplaneFlag, type FlagName } from './flag-table.js'

export interface SaidBy {
  /** By flag, as typed; several values of a map. */
  readonly flags: ReadonlyMap<string, string | readonly string[]>
  readonly env: (name: string) => string | undefined
  /** Text of -config-file. */
  readonly file?: { readonly path: string; readonly text: string }
}

/** One line each. */
export class SettingsError extends Error {}

type Value = string | number | boolean | ReadonlyMap<string, string>

const FLAGS = Object.entries(DATAPLANE_FLAGS) as [FlagName, DataplaneFlag][]
const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])

export class FlagValues {
  private readonly values = new Map<FlagName, Value>()

  private constructor() {}

  static read(said: SaidBy): FlagValues {
    const read = new FlagValues()
    const inFile = said.file === undefined ? new Map<FlagName, Value>() : fileValues(said.file.text, said.file.path)
    for (const [name, flag] of FLAGS) {
      const value = flagValue(name, flag, said) ?? inFile.get(name)
      if (value !== undefined && flag.refused !== undefined) throw new SettingsError(`-${name}: ${flag.refused}`)
      if (value !== undefined) read.values.set(name, value)
      else if (flag.initial !== undefined) read.values.set(name, parse(flag, flag.initial, `-${name}`))
    }
    return read
  }

  has(name: FlagName): boolean {
    return this.values.has(name)
  }

  /** '' where nothing is said. */
  text(name: FlagName): string {
    return (this.values.get(name) as string | undefined) ?? ''
  }

  number(name: FlagName): number {
    return (this.values.get(name) as number | undefined) ?? 0
  }

  isOn(name: FlagName): boolean {
    return this.values.get(name) === true
  }

  map(name: FlagName): Readonly<Record<string, string>> {
    return Object.fromEntries((this.values.get(name) as ReadonlyMap<string, string> | undefined) ?? [])
  }
}

function flagValue(name: FlagName, flag: DataplaneFlag, { flags, env }: SaidBy): Value | undefined {
  const given = flags.get(name)
  if (flag.kind === 'map') return pairs(name, flag, given, env)
  if (typeof given === 'string') return parse(flag, given, `-${name}`)
  const inEnv = env(flag.env)
  return inEnv === undefined || inEnv === '' ? undefined : parse(flag, inEnv, flag.env)
}

/** A map's variables are numbered from 1 to 9; the command line comes last. */
function pairs(name: string, flag: DataplaneFlag, given: string | readonly string[] | undefined, env: SaidBy['env']): Value | undefined {
  const found = new Map<string, string>()
  const add = (where: string, text: string): void => {
    const equals = text.indexOf('=')
    if (equals < 0) throw new SettingsError(`${where}: "${text}" is not KEY=VALUE`)
    found.set(text.slice(0, equals), text.slice(equals + 1))
  }
  for (let i = 1; i <= 9; i++) {
    const text = env(`${flag.env}${i}`)
    if (text !== undefined && text !== '') add(`${flag.env}${i}`, text)
  }
  for (const text of typeof given === 'string' ? [given] : (given ?? [])) add(`-${name}`, text)
  return found.size === 0 ? undefined : found
}

function parse({ kind }: DataplaneFlag, text: string, where: string): Value {
  switch (kind) {
    case 'text':
    case 'map':
      return text
    case 'integer':
      if (!/^[-+]?\d{1,9}$/.test(text)) throw new SettingsError(`${where}: "${text}" is no whole number`)
      return Number(text)
    case 'flag':
      if (!TRUE.has(text) && !FALSE.has(text)) throw new SettingsError(`${where}: "${text}" is neither true nor false`)
      return TRUE.has(text)
    case 'duration': {
      const ns = parseDuration(text)
      if (ns === undefined) throw new SettingsError(`${where}: "${text}" is no duration such as 60s`)
      return ns / 1e6
    }
  }
}

/** Keys as Go reads them: without regard to case. */
function fileValues(text: string, path: string): Map<FlagName, Value> {
  let tree: unknown
  try {
    tree = JSON.parse(text)
  } catch (error) {
    // Behind the token that is in the way stands a piece of the file, which may be one of another kind.
    throw new SettingsError(`${path}: is no JSON: ${(error as Error).message.replace(/, (?:\.\.\.)?".*$/s, '')}`)
  }
  const byKey = new Map(FLAGS.map(entry => [entry[1].key.toLowerCase(), entry]))
  const found = new Map<FlagName, Value>()
  const walk = (node: unknown, at: string): void => {
    const known = byKey.get(at.toLowerCase())
    if (node === null) return
    if (known !== undefined) {
      found.set(known[0], fileValue(known[1], node, `${path}: ${at}`))
      return
    }
    const isGroup = at === '' || [...byKey.keys()].some(key => key.startsWith(`${at.toLowerCase()}.`))
    // The name of its own log, which nobody can change there either.
    if (at.toLowerCase() === 'logging.name') return
    if (!isGroup) throw new SettingsError(`${path}: ${at}: there is no such key`)
    if (typeof node !== 'object' || Array.isArray(node)) throw new SettingsError(`${path}: ${at === '' ? 'it' : at} must be an object`)
    for (const [key, below] of Object.entries(node)) walk(below, at === '' ? key : `${at}.${key}`)
  }
  walk(tree, '')
  return found
}

const FORM: Readonly<Record<DataplaneFlag['kind'], string>> = {
  text: 'a string',
  integer: 'a whole number',
  flag: 'true or false',
  duration: 'a duration such as "60s"',
  map: 'an object of strings',
}

function fileValue(flag: DataplaneFlag, value: unknown, where: string): Value {
  const { kind } = flag
  if (kind === 'text' && typeof value === 'string') return value
  if (kind === 'integer' && Number.isSafeInteger(value)) return value as number
  if (kind === 'flag' && typeof value === 'boolean') return value
  // A number counts nanoseconds, as in Go.
  if (kind === 'duration' && typeof value === 'number') return value / 1e6
  if (kind === 'duration' && typeof value === 'string') return parse(flag, value, where)
  if (kind === 'map' && typeof value === 'object' && Object.values(value as object).every(each => typeof each === 'string'))
    return new Map(Object.entries(value as Record<string, string>))
  throw new SettingsError(`${where} must be ${FORM[kind]}`)
}
