// A prepared query asked by DNS (`<name>.query.consul`): the same execution as by HTTP, with the query's own TTL. Called by `dns-answers.ts`.
import type { Catalog } from '../catalog/catalog.js'
import { durationMs } from '../config-entries/duration.js'
import { executeQuery } from '../query/execute.js'
import type { QueryTable } from '../query/query-table.js'
import type { DnsDirectory } from './directory.js'
import type { QueryInstances } from './dns-answers.js'

export function queryInstances(queries: QueryTable, catalog: Catalog, name: string, directory: DnsDirectory): QueryInstances | undefined {
  const query = queries.resolve(name)
  if (query === undefined) return undefined
  const found = executeQuery({ catalog, random: Math.random }, query.Service)
  return {
    instances: found.map(instance => directory.instance(instance)),
    ttlSeconds: Math.floor(durationMs(query.DNS.TTL || undefined) / 1_000),
  }
}
