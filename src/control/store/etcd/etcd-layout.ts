// How the state lies in etcd, under the prefix:
//
//   head                       what was committed last: index, id of the transaction, how many parts of it still lie under `staged`
//   held/<task>                who does what only one replica may do; goes with that replica's lease (etcd-leases.ts)
//   note/<topic>/<replica>     what a replica tells the others; goes with its lease
//   record/<collection>/<key>  one record: `<createIndex> <modifyIndex> <JSON>`
//   staged/<id>/<part>         parts of a transaction that is too large for one of etcd's (staged-commit.ts)
//
// Every commit changes `head` and names in a compare the revision of it that it follows: there is one order of commits, and no two replicas
// can both decide on the same state. Read and written by etcd-mirror.ts and etcd-store.ts.
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  type Event,
  type KeyValue,
  type ResponseHeader,
} from '../../../xds/gen/etcd/etcd_pb.js'
import type { Kept, WriteRow } from '../journal/record-table.js'
import type { Collection } from '../store.js'

/** What etcd says of itself: a cluster of another id, or of a younger term, has been restored from a backup. */
export interface EtcdIdentity {
  readonly cluster: string
  readonly term: number
}

export const etcdOf = ({ clusterId, raftTerm }: ResponseHeader): EtcdIdentity => ({
  cluster: clusterId.toString(16),
  term: Number(raftTerm),
})

/** `cluster` and `term` are those of the time of its writing. */
export interface Head extends EtcdIdentity {
  readonly format: number
  readonly index: number
  /** Of the transaction. */
  readonly id: string
  /** Parts under `staged/<id>/` that are the truth until they have been put in their places; 0: none. */
  readonly staged: number
}

const FORMAT = 1
/** One of the newest format. */
export const makeHead = (head: Omit<Head, 'format'>): Head => ({ format: FORMAT, ...head })

const encoder = new TextEncoder()
const decoder = new TextDecoder()
export const bytesOf = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text)
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes)

export class EtcdLayout {
  readonly head: string
  /** Before the task. */
  readonly held: string
  readonly note: string
  readonly record: string
  readonly staged: string

  constructor(readonly prefix: string) {
    this.head = `${prefix}/head`
    this.held = `${prefix}/held/`
    this.note = `${prefix}/note/`
    this.record = `${prefix}/record/`
    this.staged = `${prefix}/staged/`
  }

  /** Everything that replicas follow: from `head` up to, and without, what is staged. */
  get followed(): { readonly key: Uint8Array<ArrayBuffer>; readonly rangeEnd: Uint8Array<ArrayBuffer> } {
    return { key: bytesOf(this.head), rangeEnd: bytesOf(this.staged) }
  }

  recordKey(collection: Collection, key: string): string {
    return `${this.record}${collection}/${key}`
  }

  /** Undefined: the key is none of a record's. */
  parseRecordKey(key: string): { readonly collection: Collection; readonly key: string } | undefined {
    if (!key.startsWith(this.record)) return undefined
    const slash = key.indexOf('/', this.record.length)
    return { collection: key.slice(this.record.length, slash) as Collection, key: key.slice(slash + 1) }
  }

  partKey(id: string, part: number): string {
    return `${this.staged}${id}/${String(part).padStart(4, '0')}`
  }

  /** Throws where it was written by a newer version. */
  decodeHead(value: Uint8Array): Head {
    const head = JSON.parse(textOf(value)) as Head
    if (head.format > FORMAT)
      throw new Error(`the state under ${this.prefix} was written by a newer version (format ${head.format}, this one reads ${FORMAT})`)
    return head
  }
}

/** The end of the range of all keys that begin so. */
export function afterPrefix(prefix: string): Uint8Array<ArrayBuffer> {
  const end = bytesOf(prefix)
  end[end.length - 1]!++
  return end
}

export function encodeRecord({ createIndex, modifyIndex, text }: Kept): Uint8Array<ArrayBuffer> {
  return bytesOf(`${createIndex} ${modifyIndex} ${text}`)
}

export function decodeRecord(value: Uint8Array): Kept {
  const text = textOf(value)
  const first = text.indexOf(' ')
  const second = text.indexOf(' ', first + 1)
  return { createIndex: Number(text.slice(0, first)), modifyIndex: Number(text.slice(first + 1, second)), text: text.slice(second + 1) }
}

export const decodePart = (value: Uint8Array): WriteRow[] => JSON.parse(textOf(value)) as WriteRow[]

/** The key was last written at this revision; 0: it is not there. */
export const isAt = (key: string, revision: bigint) => ({
  result: Compare_CompareResult.EQUAL,
  target: Compare_CompareTarget.MOD,
  key: bytesOf(key),
  targetUnion: { case: 'modRevision' as const, value: revision },
})

/** The key is there since this revision. */
export const isSince = (key: string, revision: bigint) => ({
  result: Compare_CompareResult.EQUAL,
  target: Compare_CompareTarget.CREATE,
  key: bytesOf(key),
  targetUnion: { case: 'createRevision' as const, value: revision },
})

export const isThere = (key: string) => ({
  result: Compare_CompareResult.GREATER,
  target: Compare_CompareTarget.CREATE,
  key: bytesOf(key),
  targetUnion: { case: 'createRevision' as const, value: 0n },
})

export const putOp = (key: string, value: Uint8Array, lease = 0n) => ({
  request: { case: 'requestPut' as const, value: { key: bytesOf(key), value, lease } },
})

export const deleteOp = (key: string, rangeEnd?: Uint8Array) => ({
  request: {
    case: 'requestDeleteRange' as const,
    value: { key: bytesOf(key), ...(rangeEnd === undefined ? {} : { rangeEnd }) },
  },
})

export const getOp = (key: string) => ({ request: { case: 'requestRange' as const, value: { key: bytesOf(key) } } })

/** What a request of `getOp` found. */
export function foundBy(
  response: { readonly response: { readonly case: string | undefined; readonly value?: unknown } } | undefined,
): KeyValue | undefined {
  const range = response?.response
  return range?.case === 'responseRange' ? (range.value as { readonly kvs: readonly KeyValue[] }).kvs[0] : undefined
}

/** Events of one revision each, in order. */
export function* byRevision(events: readonly Event[]): Generator<{ readonly revision: bigint; readonly events: readonly Event[] }> {
  for (let start = 0, end = 0; start < events.length; start = end) {
    const revision = events[start]!.kv!.modRevision
    while (end < events.length && events[end]!.kv!.modRevision === revision) end++
    yield { revision, events: events.slice(start, end) }
  }
}
