// Joins what codecs write during one turn of the event loop: a codec with pending output puts itself here once and is flushed
// when the current turn ends, so that many streams share one write and one TLS record. HOT: every write.

export interface Flushable {
  flush(): void
}

let pending: Flushable[] = []
let spare: Flushable[] = []
let scheduled = false

function run(): void {
  scheduled = false
  const batch = pending
  pending = spare
  spare = batch
  for (let i = 0; i < batch.length; i++) batch[i]!.flush()
  batch.length = 0
}

/** `target.flush()` is called once before the loop polls again. The caller keeps its own "already queued" flag. */
export function queueFlush(target: Flushable): void {
  pending.push(target)
  if (!scheduled) {
    scheduled = true
    setImmediate(run)
  }
}
