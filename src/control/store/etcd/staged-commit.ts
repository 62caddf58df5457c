// Transactions that are larger than etcd takes in one (128 operations, 1.5 MiB): their writes are laid down in parts first, the commit then
// names the parts, and is the moment at which all of it is so; afterwards the records are put in their places, by whoever wants to write next.
//
//   parts under staged/<id>/ -> commit: `head` {index, id, staged: n}, where it holds that all parts are there
//     -> each part's records in their places, while `head` is still that -> `head` {staged: 0}, staged/ is emptied
//
// A replica that ends in between leaves parts that nobody names, or a commit whose parts are read with it. Called by `EtcdStore`; the parts are
// read by `EtcdMirror` and load-state.ts.
// Invariant: nothing else is committed before the parts of the last commit are in their places.
import type { RecordTable, WriteRow } from '../journal/record-table.js'
import type { RecordChange, StoreWrite } from '../store.js'
import type { EtcdClient } from './etcd-client.js'
import {
  afterPrefix,
  bytesOf,
  decodePart,
  deleteOp,
  type EtcdLayout,
  encodeRecord,
  type Head,
  isAt,
  isThere,
  makeHead,
  putOp,
} from './etcd-layout.js'

/** Of one transaction of etcd's, which takes 128. */
export const MAX_OPERATIONS = 100
/** Of one request, which may have 1.5 MiB. */
export const MAX_REQUEST_BYTES = 1_000_000
/** Each is named by a compare of the commit. */
const MAX_PARTS = 100
const encoder = new TextEncoder()

/** Rejects with one line where it is more than fits. */
export async function layDownParts(
  client: EtcdClient,
  layout: EtcdLayout,
  id: string,
  writes: readonly StoreWrite[],
  texts: readonly string[],
): Promise<number> {
  const parts: string[] = []
  let part = ''
  writes.forEach(({ op, collection, key }, i) => {
    const row = `[${JSON.stringify(collection)},${JSON.stringify(key)}${op === 'put' ? `,${texts[i]}` : ''}]`
    if (part !== '' && encodedLength(part) + encodedLength(row) > MAX_REQUEST_BYTES) {
      parts.push(part)
      part = ''
    }
    part += part === '' ? row : `,${row}`
  })
  parts.push(part)
  if (parts.length > MAX_PARTS) throw new Error(`a transaction of more than ${(MAX_PARTS * MAX_REQUEST_BYTES) / 1e6} MB`)
  for (const [i, text] of parts.entries()) await client.txn({ success: [putOp(layout.partKey(id, i), bytesOf(`[${text}]`))] })
  return parts.length
}

export const partsAreThere = (layout: EtcdLayout, id: string, parts: number) =>
  Array.from({ length: parts }, (_, i) => isThere(layout.partKey(id, i)))

/** All writes of a staged commit, as they lay at that revision. Rejects where they are gone. */
export async function readParts(client: EtcdClient, layout: EtcdLayout, { id, staged }: Head, revision: bigint): Promise<WriteRow[]> {
  const rows: WriteRow[] = []
  for (let part = 0; part < staged; part++) {
    const { kvs } = await client.range({ key: bytesOf(layout.partKey(id, part)), revision })
    if (kvs[0] === undefined) throw new Error(`part ${part} of transaction ${id} is not there`)
    for (const row of decodePart(kvs[0].value)) rows.push(row)
  }
  return rows
}

/** One write of a part. Undefined where nothing changed. */
export function applyRow(table: RecordTable, [collection, key, ...value]: WriteRow, index: number): RecordChange | undefined {
  return value.length === 0
    ? table.apply({ op: 'delete', collection, key }, '', index)
    : table.apply({ op: 'put', collection, key, value: value[0] }, JSON.stringify(value[0]), index)
}

/**
 * Puts the records of the last commit in their places, as `table` has them. Resolves with the revision and the head that then stand; undefined:
 * another replica has been there.
 */
export async function putInPlace(
  client: EtcdClient,
  layout: EtcdLayout,
  head: Head,
  headRevision: bigint,
  table: RecordTable,
): Promise<{ readonly revision: bigint; readonly head: Head } | undefined> {
  const compare = [isAt(layout.head, headRevision)]
  const rows = new Map((await readParts(client, layout, head, headRevision)).map(row => [layout.recordKey(row[0], row[1]), row]))
  let success: (ReturnType<typeof putOp> | ReturnType<typeof deleteOp>)[] = []
  let bytes = 0
  const flush = async (): Promise<boolean> => {
    const { succeeded } = await client.txn({ compare, success })
    success = []
    bytes = 0
    return succeeded
  }
  for (const [name, [collection, key]] of rows) {
    const kept = table.kept(collection, key)
    const value = kept && encodeRecord(kept)
    const size = name.length + (value?.length ?? 0)
    if (success.length > 0 && (success.length === MAX_OPERATIONS || bytes + size > MAX_REQUEST_BYTES) && !(await flush())) return undefined
    success.push(value === undefined ? deleteOp(name) : putOp(name, value))
    bytes += size
  }
  if (success.length > 0 && !(await flush())) return undefined
  const after = makeHead({ ...head, staged: 0 })
  const { succeeded, header } = await client.txn({
    compare,
    success: [putOp(layout.head, bytesOf(JSON.stringify(after))), deleteOp(layout.staged, afterPrefix(layout.staged))],
  })
  return succeeded ? { revision: header!.revision, head: after } : undefined
}

function encodedLength(text: string): number {
  return encoder.encode(text).length
}
