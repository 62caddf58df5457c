// One answer for everybody who asks while nothing has changed: what is dear to make is made once, however many browsers have the console open.
// Used by console-api.ts. Invariant: what is shared is read and never changed; rights are judged on the way out, for each who asks.

export class SharedRead<T> {
  private made: { readonly at: string; readonly value: T } | undefined

  constructor(private readonly make: () => T) {}

  /** `at` says all that the value depends on. */
  get(at: string): T {
    if (this.made?.at !== at) this.made = { at, value: this.make() }
    return this.made.value
  }
}
