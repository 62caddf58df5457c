// The output of many processes on one stream: whole lines, each behind the name of who wrote it, in a colour of its own on a terminal. Used by
// dev.ts. Invariant: lines of two processes never mix; a line longer than MAX_LINE_CHARS is cut into several.

/** Green, yellow, blue, magenta, cyan, and their bright ones: readable on light and dark. */
const COLOURS: readonly number[] = [36, 33, 35, 32, 34, 96, 93, 95, 92, 94]
const DIM = 90
const MAX_LINE_CHARS = 64 * 1024

export class PrefixedLog {
  private readonly write: (text: string) => void
  private readonly coloured: boolean
  private readonly width: number
  private next = 0

  constructor(write: (text: string) => void, names: readonly string[], coloured: boolean) {
    this.write = write
    this.coloured = coloured
    this.width = Math.max(...names.map(({ length }) => length))
  }

  /** Takes what one process writes, in any pieces. `dim`: it is not what one came to see. */
  writer(name: string, dim = false): (text: string) => void {
    const colour = dim ? DIM : COLOURS[this.next++ % COLOURS.length]!
    const label = name.padEnd(this.width)
    const prefix = this.coloured ? `\x1b[${colour}m${label} |\x1b[0m ` : `${label} | `
    let rest = ''
    return text => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      while (rest.length > MAX_LINE_CHARS) {
        lines.push(rest.slice(0, MAX_LINE_CHARS))
        rest = rest.slice(MAX_LINE_CHARS)
      }
      for (const line of lines) this.write(`${prefix}${line.replace(/\r$/, '')}\n`)
    }
  }
}
