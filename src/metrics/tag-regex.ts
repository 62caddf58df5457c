// The regexes of `stats_config.stats_tags`: ECMAScript as C++ has it (std::regex, which is what Envoy compiles them with), run by V8.
// compileTagRegex reads the pattern once, writes it in the strict (`u`) syntax of JavaScript, POSIX classes spelled out, refuses what
// std::regex refuses, and counts in how many ways it may match. Called by tags.ts and, for its errors, by xds/bootstrap.
// Invariant: no name holds up the thread. Where length and pattern bound the steps by MAX_FREE_STEPS, V8 runs as it is; otherwise under
// a watchdog of WATCHED_MS, and a pattern that runs into it WATCHED_TRIES times in a row is never run again.

import vm from 'node:vm'

/** Steps that a pattern may need at worst before it is run under the watchdog: some milliseconds. */
const MAX_FREE_STEPS = 1_000_000
const WATCHED_MS = 50
/** The watchdog counts time that a busy machine or a quota of CPU took from the thread as well: that does not come again at once. */
const WATCHED_TRIES = 3

/** `[:digit:]` and its like, as the inside of a class. */
const POSIX_CLASSES = new Map([
  ['alnum', 'A-Za-z0-9'],
  ['alpha', 'A-Za-z'],
  ['blank', ' \\t'],
  ['cntrl', '\\x00-\\x1f\\x7f'],
  ['d', '0-9'],
  ['digit', '0-9'],
  ['graph', '\\x21-\\x7e'],
  ['lower', 'a-z'],
  ['print', '\\x20-\\x7e'],
  ['punct', '\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7e'],
  ['s', '\\s'],
  ['space', '\\s'],
  ['upper', 'A-Z'],
  ['w', 'A-Za-z0-9_'],
  ['xdigit', '0-9A-Fa-f'],
])
/** Escapes that mean the same to both; every other escaped character that is neither letter nor digit stands for itself. */
const SHARED_ESCAPE = /^\\(?:[dDsSwW]|[fnrtv]|0(?!\d)|c[A-Za-z]|x[\dA-Fa-f]{2}|u[\dA-Fa-f]{4})/
const QUANTIFIER = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/
const SYNTAX = /[\^$\\.*+?()[\]{}|/-]/

export interface TagRegex {
  /** Capture groups. */
  readonly groups: number
  /** With the indices of its groups; null where it does not match, and always once the pattern was too slow. */
  exec(name: string): RegExpExecArray | null
}

/** A string says what is wrong with the pattern. `onSlow` is called once, when the watchdog has stopped it. */
export function compileTagRegex(pattern: string, onSlow: () => void = () => {}): TagRegex | string {
  try {
    const read = new PatternReader(pattern).read()
    const regex = new RegExp(read.source, 'du')
    return new WatchedRegex(regex, read, onSlow)
  } catch (error) {
    return error instanceof SyntaxError ? error.message : String(error)
  }
}

class WatchedRegex implements TagRegex {
  readonly groups: number
  private stopped = false

  constructor(
    private readonly regex: RegExp,
    private readonly read: ReadPattern,
    private readonly onSlow: () => void,
  ) {
    this.groups = read.groups
  }

  exec(name: string): RegExpExecArray | null {
    if (this.stopped) return null
    if (stepsAtWorst(this.read, name.length) <= MAX_FREE_STEPS) return this.regex.exec(name)
    for (let attempt = 0; attempt < WATCHED_TRIES; attempt++) {
      try {
        return watched(() => this.regex.exec(name))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      }
    }
    this.stopped = true
    this.onSlow()
    return null
  }
}

const watchdog = { script: new vm.Script('run()'), context: null as vm.Context | null }

/** V8 stops a regex that backtracks when the time of a script is over. A call costs some 70 µs. */
function watched<T>(run: () => T): T {
  watchdog.context ??= vm.createContext(Object.create(null))
  watchdog.context.run = run
  return watchdog.script.runInContext(watchdog.context, { timeout: WATCHED_MS })
}

function stepsAtWorst({ power, choices }: ReadPattern, length: number): number {
  return (length + 1) ** power * choices
}

interface ReadPattern {
  readonly source: string
  readonly groups: number
  /** Repetitions that can end in several places, and the search for the start: each multiplies the steps by the length. */
  readonly power: number
  /** Ways through alternatives and optional parts; infinite where one of them is repeated. */
  readonly choices: number
}

interface Atom {
  /** In JavaScript's syntax; as a class it matches one character. */
  readonly source: string
  /** The character, where it can only be one. */
  readonly literal: string | null
}

interface Group {
  readonly powerBefore: number
  readonly choicesBefore: number
}

class PatternReader {
  private at = 0
  private source = ''
  private groups = 0
  private power = 0
  private choices = 1
  private readonly open: Group[] = []
  private anchored: boolean
  /** A repetition whose end is not decided by what is known so far to follow it. */
  private repeated: Atom | null = null

  constructor(private readonly pattern: string) {
    this.anchored = pattern.startsWith('^')
  }

  read(): ReadPattern {
    while (this.at < this.pattern.length) this.part()
    if (this.open.length > 0) throw new SyntaxError("'(' without ')'")
    this.settle(null)
    if (!this.anchored) this.power++
    return { source: this.source, groups: this.groups, power: this.power, choices: this.choices }
  }

  private part(): void {
    const rest = this.pattern.slice(this.at)
    const simple = /^(?:\^|\$|\\b|\\B)/.exec(rest)?.[0]
    const opening = /^\((?:\?[:=!])?/.exec(rest)?.[0]
    const backReference = /^\\[1-9]\d*/.exec(rest)?.[0]
    if (simple !== undefined) this.emit(simple)
    else if (opening !== undefined) this.group(opening)
    else if (backReference !== undefined) this.backReference(backReference)
    else if (rest.startsWith('|')) this.alternative()
    else if (rest.startsWith(')')) this.close()
    else this.atom()
  }

  private alternative(): void {
    this.settle(null)
    this.choices *= 2
    if (this.open.length === 0) this.anchored = false
    this.emit('|')
  }

  private backReference(text: string): void {
    this.settle(null)
    this.choices = Number.POSITIVE_INFINITY
    this.emit(text)
    this.quantifier(null, null)
  }

  private emit(text: string, read: number = text.length): void {
    this.source += text
    this.at += read
  }

  private group(opening: string): void {
    if (opening === '(') this.groups++
    this.open.push({ powerBefore: this.power, choicesBefore: this.choices })
    this.emit(opening)
  }

  private close(): void {
    const group = this.open.pop()
    if (group === undefined) throw new SyntaxError("')' without '('")
    this.emit(')')
    this.quantifier(null, group)
  }

  private atom(): void {
    const start = this.at
    const atom = this.pattern[start] === '[' ? this.bracket() : this.single()
    this.settle(atom)
    this.source += atom.source
    this.quantifier(atom, null)
  }

  private single(): Atom {
    const char = this.pattern[this.at]!
    if (char === '.') {
      this.at++
      return { source: '.', literal: null }
    }
    if (char === '\\') return this.escape()
    if (/[*+?{}\]]/.test(char)) throw new SyntaxError(`'${char}' with nothing before it`)
    this.at++
    return literal(char)
  }

  private escape(): Atom {
    const shared = SHARED_ESCAPE.exec(this.pattern.slice(this.at))?.[0]
    if (shared !== undefined) {
      this.at += shared.length
      return { source: shared, literal: null }
    }
    const char = this.pattern[this.at + 1] ?? ''
    if (char === '' || /[A-Za-z\d]/.test(char)) throw new SyntaxError(`'\\${char}' is no escape`)
    this.at += 2
    return literal(char)
  }

  /** `[...]`, the only place of POSIX classes. */
  private bracket(): Atom {
    let source = '['
    this.at++
    if (this.pattern[this.at] === '^') {
      source += '^'
      this.at++
    }
    for (;;) {
      const char = this.pattern[this.at]
      if (char === undefined) throw new SyntaxError("'[' without ']'")
      if (char === ']') break
      const named = /^\[([:.=])(.*?)\1\]/.exec(this.pattern.slice(this.at))
      if (named !== null) {
        source += namedClass(named[1]!, named[2]!)
        this.at += named[0].length
      } else if (char === '\\') {
        const escaped = this.escape()
        source += escaped.literal === '-' ? '\\-' : escaped.source
      } else {
        source += char === '-' || !SYNTAX.test(char) ? char : `\\${char}`
        this.at++
      }
    }
    this.at++
    return { source: `${source}]`, literal: null }
  }

  /** What may follow an atom or a group. A repeated group with a choice in it can match in exponentially many ways. */
  private quantifier(atom: Atom | null, group: Group | null): void {
    const found = QUANTIFIER.exec(this.pattern.slice(this.at))
    if (found === null) {
      if (this.pattern[this.at] === '{') throw new SyntaxError("'{' is no repetition")
      return
    }
    const [text, least, comma, most] = found
    const optional = text.startsWith('?')
    const bounded = optional || (least !== undefined && (comma === '' || most !== ''))
    if (group !== null && !optional && (this.power > group.powerBefore || this.repeated !== null || this.choices > group.choicesBefore))
      this.choices = Number.POSITIVE_INFINITY
    if (optional || group !== null) this.settle(null)
    if (bounded) this.choices *= optional ? 2 : comma === '' ? 1 : Number(most) - Number(least) + 1
    else if (atom !== null) this.repeated = atom
    else this.power++
    this.emit(text)
  }

  /** A repetition followed by a character that it cannot match ends in one place only. */
  private settle(next: Atom | null): void {
    const { repeated } = this
    this.repeated = null
    if (repeated === null) return
    const ends = next?.literal != null && !new RegExp(`^(?:${repeated.source})$`, 'u').test(next.literal)
    if (!ends) this.power++
  }
}

function literal(char: string): Atom {
  return { source: SYNTAX.test(char) && char !== '-' ? `\\${char}` : char, literal: char }
}

function namedClass(kind: string, name: string): string {
  if (kind === ':') {
    const inside = POSIX_CLASSES.get(name)
    if (inside === undefined) throw new SyntaxError(`'[:${name}:]' is no class of characters`)
    return inside
  }
  if (name.length !== 1) throw new SyntaxError(`'[${kind}${name}${kind}]' is no single character`)
  return SYNTAX.test(name) ? `\\${name}` : name
}
