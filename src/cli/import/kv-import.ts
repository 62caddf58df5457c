// The key/value store for `outrigger import`: values and flags. Locks stay behind, since their sessions do.
import type { ImportItem, ImportKind } from './import-kind.js'

interface Pair {
  readonly Key: string
  /** Base64. */
  readonly Value: string | null
  readonly Flags: number
  readonly Session?: string
}

interface PairItem extends ImportItem {
  readonly pair: Pair
}

const item = (pair: Pair): PairItem => ({ key: pair.Key, content: [pair.Value ?? '', pair.Flags], pair })

export const KV: ImportKind<PairItem> = {
  name: 'keys',
  async read(source, leave) {
    const pairs = (await source.findJson<readonly Pair[]>('/v1/kv/?recurse')) ?? []
    for (const { Key, Session } of pairs) if (Session) leave(`the lock on key ${Key}`, 'sessions are not taken')
    return pairs.map(item)
  },
  existing: async target => ((await target.findJson<readonly Pair[]>('/v1/kv/?recurse')) ?? []).map(item),
  async write(target, { pair }) {
    const path = `/v1/kv/${pair.Key.split('/').map(encodeURIComponent).join('/')}?flags=${pair.Flags}`
    await target.call({ method: 'PUT', path, body: Buffer.from(pair.Value ?? '', 'base64') })
  },
}
