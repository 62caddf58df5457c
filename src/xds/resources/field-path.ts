// Where errors of one config check are collected, and the cursor that knows the path of the field being read.
// Every decoder in src/xds/resources takes a `Ctx`; the entry points (decode.ts, bootstrap.ts) make the collector and turn it
// into a `Checked` result. Invariant: a decoder never throws on bad input; it records an error and returns a stand-in value,
// so that one pass finds every problem.

import type { Checked, ConfigError } from '../../model/config-error.js'
import type { FilterSettingsReaders } from '../../model/custom-filter.js'

/** A response that is wrong everywhere should not produce an unbounded NACK. */
export const MAX_ERRORS_PER_RESOURCE = 64
/** Bound on the listed paths that are accepted without effect. */
export const MAX_UNSUPPORTED_PER_RESOURCE = 256

export interface DecodeOptions {
  /** Reads a file that a DataSource names; defaults to the file system. Throws when it cannot. */
  readonly readFile?: (path: string) => Uint8Array
  /** `refuse` in the bootstrap, `count` in dynamic config, as Envoy's default flags do. */
  readonly unknownFields?: 'refuse' | 'count'
  /** HTTP filters of the embedding program. */
  readonly customFilters?: FilterSettingsReaders
}

export type Decoded<T> = Checked<T> & {
  /** Fields that our protos do not know, accepted and counted (dynamic config only). */
  readonly unknownFields: number
  /** Paths of fields that were accepted without effect. */
  readonly unsupported: readonly string[]
}

export class ErrorCollector {
  readonly errors: ConfigError[] = []
  readonly warnings: ConfigError[] = []
  readonly unsupported: string[] = []
  unknownFields = 0
  /** Errors beyond MAX_ERRORS_PER_RESOURCE: counted, not kept. */
  droppedErrors = 0

  constructor(readonly options: DecodeOptions = {}) {}

  addError(path: string, reason: string): void {
    if (this.errors.length < MAX_ERRORS_PER_RESOURCE) this.errors.push({ path, reason })
    else this.droppedErrors++
  }

  addUnsupported(path: string): void {
    if (this.unsupported.length < MAX_UNSUPPORTED_PER_RESOURCE && !this.unsupported.includes(path)) this.unsupported.push(path)
  }

  result<T>(value: T): Decoded<T> {
    return this.errors.length > 0
      ? this.failure()
      : { ok: true, value, warnings: this.warnings, unknownFields: this.unknownFields, unsupported: this.unsupported }
  }

  /** There is no value. */
  failure(): Decoded<never> {
    const errors =
      this.droppedErrors > 0 ? [...this.errors, { path: '', reason: `and ${this.droppedErrors} more errors` }] : [...this.errors]
    return { ok: false, errors, unknownFields: this.unknownFields, unsupported: this.unsupported }
  }
}

/** A position in a message: immutable, and cheap to derive, since its path is put together when somebody asks for it: seldom. */
export class Ctx {
  /** `name`: of the field within `parent`, or the whole path where there is none. */
  constructor(
    readonly sink: ErrorCollector,
    private readonly name: string = '',
    private readonly parent: Ctx | null = null,
    private readonly index: number | string | undefined = undefined,
  ) {}

  /** The field `name` of this message; `index` is an index of a repeated field or a key of a map. */
  at(name: string, index?: number | string): Ctx {
    return new Ctx(this.sink, name, this, index)
  }

  get path(): string {
    const { parent, name, index } = this
    const above = parent === null ? '' : parent.path
    const field = above === '' ? name : `${above}.${name}`
    if (index === undefined) return field
    return typeof index === 'number' ? `${field}[${index}]` : `${field}[${JSON.stringify(index)}]`
  }

  error(reason: string): void {
    this.sink.addError(this.path, reason)
  }

  warn(reason: string): void {
    this.sink.warnings.push({ path: this.path, reason })
  }

  /** The field at this path is accepted without effect. */
  unsupported(): void {
    this.sink.addUnsupported(this.path)
  }
}
