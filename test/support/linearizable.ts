// Whether what clients saw of one register can have happened one after another: Wing and Gong's search, with Lowe's memory of what was tried. Each
// operation took effect once, at some moment between its begin and its end; one whose outcome is unknown perhaps, at any moment after its begin.
// Used by the fault tests of the store; tested itself with histories that are known to be good and bad (linearizable.test.ts).

export type Operation =
  | { readonly kind: 'read'; readonly saw: Value; readonly begin: number; readonly end: number }
  /** `end` infinite: nobody knows whether it took effect. */
  | { readonly kind: 'write'; readonly value: Value; readonly begin: number; readonly end: number }
  /** `swapped`: it was told to have taken effect, or not to have; undefined: nobody knows. */
  | {
      readonly kind: 'swap'
      readonly expected: Value
      readonly value: Value
      readonly swapped: boolean | undefined
      readonly begin: number
      readonly end: number
    }

/** Null: there is none. */
export type Value = string | null

/** The register after the operation; undefined: it can't have happened now. */
function apply(state: Value, operation: Operation): Value | undefined {
  switch (operation.kind) {
    case 'read':
      return operation.saw === state ? state : undefined
    case 'write':
      return operation.value
    case 'swap':
      if (operation.swapped === undefined) return operation.expected === state ? operation.value : state
      if (operation.swapped !== (operation.expected === state)) return undefined
      return operation.swapped ? operation.value : state
  }
}

interface Entry {
  readonly id: number
  readonly operation: Operation
  /** Undefined in the entry of an end. */
  readonly match: Entry | undefined
  prev: Entry
  next: Entry | undefined
}

/** One register, which begins with nothing. */
export function isLinearizable(history: readonly Operation[]): boolean {
  const head = { id: -1 } as Entry
  let last = head
  const events = history.flatMap((operation, id) => [
    { at: operation.begin, order: 0, id },
    { at: operation.end, order: 1, id },
  ])
  // An operation that began at the moment of another's end was beside it.
  events.sort((a, b) => (a.at === b.at ? a.order - b.order : a.at - b.at))
  const ends = new Map<number, Entry>()
  const begins: Entry[] = []
  for (const { order, id } of events) {
    const entry: Entry = { id, operation: history[id]!, match: undefined, prev: last, next: undefined }
    last.next = entry
    last = entry
    if (order === 0) begins[id] = entry
    else ends.set(id, entry)
  }
  for (const [id, entry] of begins.entries()) (entry as { match: Entry | undefined }).match = ends.get(id)
  const done = new Uint8Array(history.length)
  const tried = new Set<string>()
  const calls: { readonly entry: Entry; readonly before: Value }[] = []
  let state: Value = null
  let certain = history.filter(({ end }) => Number.isFinite(end)).length
  let entry = head.next
  while (certain > 0) {
    if (entry?.match !== undefined) {
      const after = apply(state, entry.operation)
      if (after !== undefined) {
        done[entry.id] = 1
        const seen = `${done.join('')} ${after}`
        if (!tried.has(seen)) {
          tried.add(seen)
          calls.push({ entry, before: state })
          state = after
          if (Number.isFinite(entry.operation.end)) certain--
          unlink(entry)
          entry = head.next
          continue
        }
        done[entry.id] = 0
      }
      entry = entry.next
    } else {
      // An end is reached before its operation took effect, or the list is over: what was tried last was wrong.
      const call = calls.pop()
      if (call === undefined) return false
      state = call.before
      done[call.entry.id] = 0
      if (Number.isFinite(call.entry.operation.end)) certain++
      relink(call.entry)
      entry = call.entry.next
    }
  }
  return true
}

function unlink(entry: Entry): void {
  for (const each of [entry, entry.match!]) {
    each.prev.next = each.next
    if (each.next !== undefined) each.next.prev = each.prev
  }
}

function relink(entry: Entry): void {
  for (const each of [entry.match!, entry]) {
    each.prev.next = each
    if (each.next !== undefined) each.next.prev = each
  }
}
