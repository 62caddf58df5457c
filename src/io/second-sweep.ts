// Once a second, what connections have counted for themselves (bytes moved) goes to the counters that others read, so that those of a
// long download move while it runs. Used by both sides' HTTP connections and the TCP proxy. One timer for all, which keeps no process
// alive. HOT: nothing per byte or request; two operations on a Set per connection.

const PERIOD_MS = 1000

export interface Swept {
  /** Report what has come since the last time. */
  sweep(): void
}

export class SecondSweep {
  private readonly members = new Set<Swept>()
  private timer: NodeJS.Timeout | null = null

  add(member: Swept): void {
    this.members.add(member)
    if (this.timer !== null) return
    this.timer = setInterval(() => {
      for (const each of this.members) each.sweep()
    }, PERIOD_MS)
    this.timer.unref()
  }

  remove(member: Swept): void {
    this.members.delete(member)
    if (this.members.size > 0 || this.timer === null) return
    clearInterval(this.timer)
    this.timer = null
  }
}

/** The process's own. */
export const everySecond = new SecondSweep()
