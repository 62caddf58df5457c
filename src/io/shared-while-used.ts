// Things that several users share by a key, for as long as one of them holds them: the registry itself holds nothing alive. Used for access
// log sinks and loggers, whose users (old listener versions under connections that go on) end when nobody can say. Invariant: an entry goes
// with its value, at a garbage collection, and `atEnd` is called then; it must not lead back to the value.

interface Entry {
  readonly key: string
  readonly ref: WeakRef<object>
  readonly atEnd: () => void
}

export class SharedWhileUsed<V extends object> {
  private readonly live = new Map<string, WeakRef<V>>()
  private readonly collected = new FinalizationRegistry<Entry>(({ key, ref, atEnd }) => {
    if (this.live.get(key) === ref) this.live.delete(key)
    atEnd()
  })

  get(key: string): V | undefined {
    return this.live.get(key)?.deref()
  }

  put(key: string, value: V, atEnd: () => void): void {
    const ref = new WeakRef(value)
    this.live.set(key, ref)
    this.collected.register(value, { key, ref, atEnd })
  }

  values(): V[] {
    return [...this.live.values()].flatMap(ref => ref.deref() ?? [])
  }

  clear(): void {
    this.live.clear()
  }
}
