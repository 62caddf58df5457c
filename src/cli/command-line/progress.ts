// A progress bar on a terminal, below the lines that are printed meanwhile: each line pushes it down. Used by the demo for its lines, and by
// command-io.ts for commands whose work takes long. Invariant: without a terminal there are lines only, and what is left when all is done is lines.
const BAR_WIDTH = 30
/** A bar redrawn more often than the eye sees costs the traffic its CPU. */
const REDRAW_MS = 50

export class Progress {
  private readonly out: NodeJS.WriteStream
  private drawn = false
  private lastDrawn = 0

  constructor(out: NodeJS.WriteStream) {
    this.out = out
    // Closed by `| head`: the demo goes on to its end, where it stops its processes.
    out.on('error', () => {})
  }

  line(text = ''): void {
    this.clear()
    this.out.write(`${text}\n`)
  }

  /** Shows the bar; at `total` it goes away. */
  bar(label: string, done: number, total: number): void {
    if (!this.out.isTTY) return
    if (done >= total) {
      this.clear()
      return
    }
    const now = performance.now()
    if (now - this.lastDrawn < REDRAW_MS) return
    this.lastDrawn = now
    const filled = Math.floor((BAR_WIDTH * done) / total)
    const text = `   [${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] ${done.toLocaleString('en')}/${total.toLocaleString('en')} ${label}`
    this.clear()
    this.out.write(text.slice(0, Math.max(0, (this.out.columns || 80) - 1)))
    this.drawn = true
  }

  /** Takes the bar away, for who writes to the same terminal. */
  clear(): void {
    if (!this.drawn) return
    this.out.write('\r\x1b[K')
    this.drawn = false
  }
}
