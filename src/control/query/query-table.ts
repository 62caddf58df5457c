// The prepared queries in memory, by id, by name and by template prefix. Fed by the store's commits; read by the query endpoints and by
// DNS (`.query`), written through `put` and `delete` here.
// Invariant: a name is one query's, and no query's name is another's id; a query bound to a session goes with it.
import { type Commit, put, remove, type Store, type StoredRecord } from '../store/store.js'
import { WatchedIndex } from '../store/watched-index.js'
import { fillIn, type PreparedQueryRecord } from './prepared-query.js'

export interface PreparedQuery extends PreparedQueryRecord {
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export const MAX_QUERIES = 10_000

export class QueryTable extends WatchedIndex {
  private readonly queries = new Map<string, PreparedQuery>()
  private readonly byName = new Map<string, string>()

  private constructor(
    private readonly store: Store,
    private readonly onProblem: (reason: string) => void,
  ) {
    super(store.index)
  }

  static async open(store: Store, onProblem: (reason: string) => void): Promise<QueryTable> {
    const table = new QueryTable(store, onProblem)
    store.subscribe(['prepared-query', 'session'], commit => table.follow(commit))
    for (const record of await store.list('prepared-query')) table.add(record)
    return table
  }

  list(): PreparedQuery[] {
    return [...this.queries.values()].sort((a, b) => (a.ID < b.ID ? -1 : 1))
  }

  get(id: string): PreparedQuery | undefined {
    return this.queries.get(id)
  }

  /** By id, by name, else the template with the longest prefix of the name, filled in. */
  resolve(idOrName: string): PreparedQueryRecord | undefined {
    const named = this.byName.get(idOrName.toLowerCase())
    const exact = this.queries.get(idOrName) ?? (named === undefined ? undefined : this.queries.get(named))
    if (exact !== undefined && exact.Template.Type === '') return exact
    let best = exact
    for (const query of this.queries.values()) {
      if (query.Template.Type === '' || !idOrName.toLowerCase().startsWith(query.Name.toLowerCase())) continue
      if (best === undefined || query.Name.length > best.Name.length) best = query
    }
    return best === undefined ? undefined : fillIn(best, idOrName)
  }

  /** Throws why not. `isNew`: an id that is there is none of the caller's to write. `hasSession`: whether there is one, when it is written. */
  async put(query: PreparedQueryRecord, isNew: boolean, hasSession: (id: string) => boolean): Promise<void> {
    await this.store.exclusive(async turn => {
      if (query.Session !== '' && !hasSession(query.Session)) throw new Error(`failed session lookup: invalid session '${query.Session}'`)
      if (!isNew && !this.queries.has(query.ID)) throw new Error(`Cannot modify non-existent prepared query: '${query.ID}'`)
      if (isNew && this.queries.size >= MAX_QUERIES)
        throw new Error(`there are ${MAX_QUERIES} prepared queries already, which is the limit`)
      const owner = this.byName.get(query.Name.toLowerCase())
      if (query.Name !== '' && owner !== undefined && owner !== query.ID)
        throw new Error(
          query.Template.Type === ''
            ? `name '${query.Name}' aliases an existing query name`
            : `query template with name '${query.Name}' already exists`,
        )
      if (this.queries.has(query.Name)) throw new Error(`name '${query.Name}' aliases an existing query ID`)
      const catchAll = [...this.queries.values()].find(other => other.Template.Type !== '' && other.Name === '' && other.ID !== query.ID)
      if (query.Template.Type !== '' && query.Name === '' && catchAll !== undefined)
        throw new Error("query template with name '' already exists")
      await turn.transaction([put('prepared-query', query.ID, query)])
    })
  }

  async delete(id: string): Promise<void> {
    if (this.queries.has(id)) await this.store.delete('prepared-query', id)
  }

  private follow({ index, changes }: Commit): void {
    let changed = false
    for (const { collection, key, record } of changes) {
      if (collection === 'session') {
        if (record === undefined) this.endSession(key)
        continue
      }
      changed = true
      const before = this.queries.get(key)
      if (before !== undefined) this.byName.delete(before.Name.toLowerCase())
      this.queries.delete(key)
      if (record !== undefined) this.add(record)
    }
    if (!changed) return
    this.advance(index)
  }

  private add({ value, createIndex, modifyIndex }: StoredRecord): void {
    const query = { ...(value as PreparedQueryRecord), CreateIndex: createIndex, ModifyIndex: modifyIndex }
    this.queries.set(query.ID, query)
    if (query.Name !== '') this.byName.set(query.Name.toLowerCase(), query.ID)
  }

  private endSession(session: string): void {
    const bound = [...this.queries.values()].filter(query => query.Session === session)
    if (bound.length === 0) return
    this.store
      .transaction(bound.map(query => remove('prepared-query', query.ID)))
      .catch((error: Error) => this.onProblem(`prepared queries of session ${session}: ${error.message}`))
  }
}
