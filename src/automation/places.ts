// So many at one time, the others in line. Used by the watches for their first reads and by the tasks for their runs.

export class Places {
  private readonly waiting: (() => void)[] = []
  private taken = 0

  constructor(private readonly most: number) {}

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.taken >= this.most) await new Promise<void>(resolve => this.waiting.push(resolve))
    else this.taken++
    try {
      return await task()
    } finally {
      // The place goes to the next in line without ever being free.
      const next = this.waiting.shift()
      if (next === undefined) this.taken--
      else next()
    }
  }
}
