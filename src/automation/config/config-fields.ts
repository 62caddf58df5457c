// Reads one object of a configuration field by field. Used by every reader of this folder.
// Invariant: each fault is one line that names the field by its path, all of them are found in one pass, and a key that nobody asked for is one.
import { parseDuration } from '../../control/config-entries/duration.js'

/** What is wrong with a configuration: all of it. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'))
  }
}

export interface ConfigNotes {
  readonly problems: string[]
  /** Of what is accepted and has no effect. */
  readonly warnings: string[]
}

export type Plain = Readonly<Record<string, unknown>>

export function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export class ConfigFields {
  private readonly value: Plain
  private readonly asked = new Set<string>()

  constructor(
    value: unknown,
    readonly path: string,
    readonly notes: ConfigNotes,
  ) {
    this.value = isPlain(value) ? value : {}
    if (!isPlain(value)) notes.problems.push(`${path}: must be an object`)
  }

  has(name: string): boolean {
    return this.value[name] !== undefined && this.value[name] !== null
  }

  problem(name: string, reason: string): undefined {
    this.notes.problems.push(`${this.at(name)}: ${reason}`)
    return undefined
  }

  at(name: string): string {
    return this.path === '' ? name : name === '' ? this.path : `${this.path}.${name}`
  }

  raw(name: string): unknown {
    this.asked.add(name)
    return this.has(name) ? this.value[name] : undefined
  }

  text(name: string): string | undefined
  text(name: string, otherwise: string): string
  text(name: string, otherwise?: string): string | undefined {
    const value = this.raw(name)
    if (value === undefined) return otherwise
    return typeof value === 'string' ? value : (this.problem(name, 'must be a string') ?? otherwise)
  }

  needed(name: string): string {
    const text = this.text(name)
    if (!this.has(name)) this.problem(name, 'is needed')
    else if (text === '') this.problem(name, 'must not be empty')
    return text ?? ''
  }

  oneOf<T extends string>(name: string, known: readonly T[], otherwise: T): T {
    const value = this.raw(name)
    const found = known.find(each => each === value)
    if (value !== undefined && found === undefined) this.problem(name, `must be one of ${known.join(', ')}`)
    return found ?? otherwise
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.raw(name)
    if (value === undefined) return otherwise
    return typeof value === 'boolean' ? value : (this.problem(name, 'must be true or false') ?? otherwise)
  }

  whole(name: string, least: number, most: number, otherwise: number): number {
    const value = this.raw(name)
    if (value === undefined) return otherwise
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    return this.problem(name, `must be a whole number between ${least} and ${most}`) ?? otherwise
  }

  /** Go's form, or a number of seconds, as CTS takes both. */
  durationMs(name: string, otherwise: number): number {
    const value = this.raw(name)
    if (value === undefined) return otherwise
    const ns = typeof value === 'number' ? value * 1e9 : typeof value === 'string' ? parseDuration(value) : undefined
    return ns === undefined || !(ns >= 0) ? (this.problem(name, 'must be a duration such as 10s') ?? otherwise) : ns / 1e6
  }

  texts(name: string): readonly string[] {
    const value = this.raw(name)
    if (value === undefined) return []
    if (Array.isArray(value) && value.every(each => typeof each === 'string')) return value
    this.problem(name, 'must be a list of strings')
    return []
  }

  textMap(name: string): Readonly<Record<string, string>> {
    const value = this.raw(name)
    if (value === undefined) return {}
    if (isPlain(value) && Object.values(value).every(each => typeof each === 'string')) return value as Record<string, string>
    this.problem(name, 'must be an object of strings')
    return {}
  }

  /** Undefined where it is not there. */
  object(name: string): ConfigFields | undefined {
    const value = this.raw(name)
    return value === undefined ? undefined : new ConfigFields(value, this.at(name), this.notes)
  }

  /** A block that may stand several times. */
  objects(name: string): ConfigFields[] {
    const value = this.raw(name)
    if (value === undefined) return []
    const list = Array.isArray(value) ? value : [value]
    return list.map((each, i) => new ConfigFields(each, list.length === 1 ? this.at(name) : `${this.at(name)}[${i}]`, this.notes))
  }

  names(): readonly string[] {
    return Object.keys(this.value)
  }

  /** As it was given. */
  all(): Plain {
    return this.value
  }

  /** Known, and not offered. */
  refused(name: string, reason: string): void {
    if (this.raw(name) !== undefined) this.problem(name, reason)
  }

  /** Known, and without a meaning here. */
  ignored(...names: readonly string[]): void {
    for (const name of names) if (this.raw(name) !== undefined) this.notes.warnings.push(`${this.at(name)}: has no effect`)
  }

  /** To be called last: what nobody has asked for is no field. */
  done(): void {
    for (const name of Object.keys(this.value)) if (!this.asked.has(name)) this.problem(name, 'is no field of this block')
  }
}
