// Everything under the prefix as it was at one revision, page by page. Called by `EtcdMirror` at the start, and where a watch can't be continued.
// Invariant: all pages are of the same revision, and what lies staged stands in its place.
import type { KeyValue } from '../../../xds/gen/etcd/etcd_pb.js'
import { RecordTable } from '../journal/record-table.js'
import { type EtcdClient, EtcdError } from './etcd-client.js'
import { decodeRecord, type EtcdIdentity, type EtcdLayout, etcdOf, type Head, textOf } from './etcd-layout.js'
import { applyRow, readParts } from './staged-commit.js'

export interface OtherKey {
  readonly key: string
  readonly value: Uint8Array
  readonly createRevision: bigint
}

export interface LoadedState {
  readonly table: RecordTable
  readonly head: Head
  readonly headRevision: bigint
  /** That it was read at. */
  readonly revision: bigint
  /** What is no record. */
  readonly others: readonly OtherKey[]
  readonly etcd: EtcdIdentity
}

const PAGE_KEYS = 2_000
/** A compaction between two pages begins the reading again. */
const MAX_ATTEMPTS = 5

/** `head` is undefined where there is no state yet. */
export async function loadState(
  client: EtcdClient,
  layout: EtcdLayout,
): Promise<LoadedState | (Omit<LoadedState, 'head'> & { readonly head: undefined })> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await loadOnce(client, layout)
    } catch (error) {
      if (!(error instanceof EtcdError && error.isOutsideHistory) || attempt === MAX_ATTEMPTS) throw error
    }
  }
}

async function loadOnce(client: EtcdClient, layout: EtcdLayout): ReturnType<typeof loadState> {
  const table = new RecordTable()
  const others: OtherKey[] = []
  let headKey: KeyValue | undefined
  let { key, rangeEnd } = layout.followed
  let revision = 0n
  let etcd: EtcdIdentity = { cluster: '', term: 0 }
  for (let more = true; more; ) {
    const page = await client.range({ key, rangeEnd, limit: BigInt(PAGE_KEYS), revision })
    if (revision === 0n) revision = page.header!.revision
    etcd = etcdOf(page.header!)
    for (const kv of page.kvs) {
      const name = textOf(kv.key)
      const record = layout.parseRecordKey(name)
      if (name === layout.head) headKey = kv
      else if (record !== undefined) table.keep(record.collection, record.key, decodeRecord(kv.value))
      else others.push({ key: name, value: kv.value, createRevision: kv.createRevision })
    }
    more = page.more
    const last = page.kvs.at(-1)
    if (last !== undefined) key = bytesAfter(last.key)
  }
  if (headKey === undefined) return { table, head: undefined, headRevision: 0n, revision, others, etcd }
  const head = layout.decodeHead(headKey.value)
  table.index = head.index
  if (head.staged > 0) for (const row of await readParts(client, layout, head, revision)) applyRow(table, row, head.index)
  return { table, head, headRevision: headKey.modRevision, revision, others, etcd }
}

/** The first key that comes after. */
function bytesAfter(key: Uint8Array): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}
