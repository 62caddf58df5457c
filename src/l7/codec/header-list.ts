// Header fields of one message: raw pairs in the order received, scanned by index. The one header container of the data plane.
// Names from the network are never keys of an object. Each name is kept twice: as received (`raw`, for HTTP/1 case preservation)
// and lower case (`lower`, interned through a bounded cache, so that comparisons are pointer compares).

const MAX_INTERNED_NAMES = 4096
const MAX_INTERNED_NAME_LENGTH = 64

const internedNames = new Map<string, string>()

/** Lower-case form of a header name; the same string object for equal names while the cache has room. */
export function lowerHeaderName(name: string): string {
  const known = internedNames.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  if (internedNames.size < MAX_INTERNED_NAMES && name.length <= MAX_INTERNED_NAME_LENGTH) internedNames.set(name, lower)
  return lower
}

/** HOT. The first octet tells of most names. */
export function isEnvoyHeader(lower: string): boolean {
  return lower.charCodeAt(0) === 120 && lower.startsWith('x-envoy-')
}

/** Fields that a message has once. */
const SINGLE_FIELDS: ReadonlySet<string> = new Set(['content-type', 'location', 'user-agent', 'x-request-id', 'x-forwarded-proto'])

/** Header fields in order. Values are latin1 strings without surrounding OWS (RFC 9110 §5.5). HOT: every request. */
export class HeaderList {
  /** Names as received or as added, one per field. */
  readonly raw: string[]
  /** Lower-case names, parallel to `raw`. */
  readonly lower: string[]
  readonly values: string[]

  /** Takes the arrays as they are: parallel, `lower` interned. */
  constructor(raw: string[] = [], lower: string[] = [], values: string[] = []) {
    this.raw = raw
    this.lower = lower
    this.values = values
  }

  static of(...pairs: readonly (readonly [string, string])[]): HeaderList {
    const list = new HeaderList()
    for (const pair of pairs) list.append(pair[0], pair[1])
    return list
  }

  get length(): number {
    return this.values.length
  }

  /** Append a field, keeping earlier ones of that name. */
  append(name: string, value: string): void {
    this.raw.push(name)
    this.lower.push(lowerHeaderName(name))
    this.values.push(value)
  }

  /** Append a field; one that may come once alone joins the value that is there, as Envoy joins it: two of them are two meanings. */
  add(name: string, value: string): void {
    const lower = lowerHeaderName(name)
    const at = SINGLE_FIELDS.has(lower) ? this.lower.indexOf(lower) : -1
    if (at === -1) this.appendParsed(name, lower, value)
    else this.values[at] += `,${value}`
  }

  /** Append with the lower-case name already known (codecs). */
  appendParsed(raw: string, lower: string, value: string): void {
    this.raw.push(raw)
    this.lower.push(lower)
    this.values.push(value)
  }

  /** As append, with a name of ours that is lower case as it stands: most of what a proxy adds to each message. */
  appendLower(lower: string, value: string): void {
    this.appendParsed(lower, lower, value)
  }

  /** First value of a lower-case name, or undefined. */
  get(lower: string): string | undefined {
    const names = this.lower
    for (let i = 0; i < names.length; i++) if (names[i] === lower) return this.values[i]
    return undefined
  }

  has(lower: string): boolean {
    return this.lower.includes(lower)
  }

  indexOf(lower: string, from = 0): number {
    return this.lower.indexOf(lower, from)
  }

  /** All values of a lower-case name, in order. */
  getAll(lower: string): string[] {
    const out: string[] = []
    const names = this.lower
    for (let i = 0; i < names.length; i++) if (names[i] === lower) out.push(this.values[i]!)
    return out
  }

  /** All values joined by `,` (what matchers see for repeated fields), or undefined when absent. */
  getJoined(lower: string): string | undefined {
    const first = this.lower.indexOf(lower)
    if (first === -1) return undefined
    let joined = this.values[first]!
    for (let i = this.lower.indexOf(lower, first + 1); i !== -1; i = this.lower.indexOf(lower, i + 1)) joined += `,${this.values[i]}`
    return joined
  }

  /** Replace the first field of that name in place and remove the others, or append. `name` is written as given. */
  set(name: string, value: string): void {
    this.setParsed(name, lowerHeaderName(name), value)
  }

  /** As set, with a name of ours that is lower case as it stands. */
  setLower(lower: string, value: string): void {
    this.setParsed(lower, lower, value)
  }

  private setParsed(name: string, lower: string, value: string): void {
    const first = this.lower.indexOf(lower)
    if (first === -1) {
      this.appendParsed(name, lower, value)
      return
    }
    this.values[first] = value
    if (this.lower.indexOf(lower, first + 1) !== -1) this.removeFrom(lower, first + 1)
  }

  /** Remove every field of a lower-case name; true when there was one. */
  remove(lower: string): boolean {
    const first = this.lower.indexOf(lower)
    if (first === -1) return false
    this.removeFrom(lower, first)
    return true
  }

  removeAt(index: number): void {
    this.raw.splice(index, 1)
    this.lower.splice(index, 1)
    this.values.splice(index, 1)
  }

  clone(): HeaderList {
    return new HeaderList(this.raw.slice(), this.lower.slice(), this.values.slice())
  }

  private removeFrom(lower: string, start: number): void {
    let kept = start
    for (let i = start; i < this.lower.length; i++) {
      if (this.lower[i] === lower) continue
      this.raw[kept] = this.raw[i]!
      this.lower[kept] = this.lower[i]!
      this.values[kept] = this.values[i]!
      kept++
    }
    this.raw.length = kept
    this.lower.length = kept
    this.values.length = kept
  }
}
