// A prepared query asked by DNS (`<name>.query.consul`): the same execution as by HTTP, with the query's own TTL. Called by `dns-answers.ts`.
import type { Catalog } from '../catalog/catalog.js'
import { durationMs } from '../config-entries/duration.js'
import { type ExecutionSource, executeQuery } from '../query/execute.js'
import type { QueryTable } from '../query/query-table.js'
import { type DnsDirectory, peerInstance } from './directory.js'
import type { QueryInstances } from './dns-answers.js'

export function queryInstances(
  { queries, catalog, peers }: { readonly queries: QueryTable; readonly catalog: Catalog; readonly peers: ExecutionSource['peers'] },
  name: string,
  directory: DnsDirectory,
): QueryInstances | undefined {
  const query = queries.resolve(name)
  if (query === undefined) return undefined
  const { instances, imported } = executeQuery({ catalog, peers, random: Math.random }, query.Service)
  return {
    instances: [
      ...instances.map(instance => directory.instance(instance)),
      ...(imported?.instances.map(instance => peerInstance(instance, imported.service.name)) ?? []),
    ],
    ttlSeconds: Math.floor(durationMs(query.DNS.TTL || undefined) / 1_000),
  }
}
