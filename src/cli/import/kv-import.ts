// The key/value store for `outrigger import`: values and flags. Locks stay behind, since their sessions do.
import { RefusedError } from '../command-line/control-api.js'
import type { ImportItem, ImportKind, Source } from './import-kind.js'

interface Pair {
  readonly Key: string
  /** Base64. */
  readonly Value: string | null
  /** Digits: they may be more than a number holds. */
  readonly Flags: string
  readonly Session?: string
}

interface PairItem extends ImportItem {
  readonly pair: Pair
}

const item = (pair: Pair): PairItem => ({ key: pair.Key, content: [pair.Value ?? '', pair.Flags], pair })

async function readPairs(source: Source): Promise<readonly Pair[]> {
  try {
    const { text } = await source.get('/v1/kv/?recurse')
    // A key that looks like this has its quotes escaped.
    return JSON.parse(text.replace(/"Flags":\s*(\d+)/g, '"Flags":"$1"')) as readonly Pair[]
  } catch (error) {
    if (error instanceof RefusedError && error.statusCode === 404) return []
    throw error
  }
}

export const KV: ImportKind<PairItem> = {
  name: 'keys',
  async read(source, leave) {
    const pairs = await readPairs(source)
    for (const { Key, Session } of pairs) if (Session) leave(`the lock on key ${Key}`, 'sessions are not taken')
    return pairs.map(item)
  },
  existing: async target => (await readPairs(target)).map(item),
  async write(target, { pair }) {
    const path = `/v1/kv/${pair.Key.split('/').map(encodeURIComponent).join('/')}?flags=${pair.Flags}`
    await target.call({ method: 'PUT', path, body: Buffer.from(pair.Value ?? '', 'base64') })
  },
}
