// The secrets by SDS that a listener or a cluster waits for before it serves, as Envoy's init targets: those of its TLS contexts, and those that
// its filters follow. A secret is waited for until it has come, was refused, is said not to be there, or its initial_fetch_timeout is over:
// SecretRegistry knows, and is told by whoever fetches it (sidecar/resource-kinds/secret-kind).

import type { SecretSource } from '../l7/filters/generic-secret.js'
import type { Cluster } from '../model/cluster.js'
import type { SdsSecretRef, UpstreamTls } from '../model/tls.js'
import { type SecretRegistry, secretKey } from '../mtls/secrets/secret-registry.js'
import type { TlsContexts } from '../mtls/tls/tls-contexts.js'
import { secretRefsOf } from '../mtls/tls/tls-sources.js'
import type { ClusterSecrets } from '../upstream/cluster/cluster-deps.js'
import type { AwaitedConfig } from './awaited-config.js'

export function awaitedSecrets(registry: SecretRegistry, refs: readonly SdsSecretRef[]): AwaitedConfig[] {
  const named = new Map(refs.map(ref => [`${ref.initialFetchTimeoutMs} ${secretKey(ref)}`, ref]))
  return [...named.values()].map(ref => ({
    name: `secret ${ref.name}`,
    timeoutMs: 0,
    get ready() {
      return registry.isSettled(ref)
    },
    whenReady: settled => registry.whenSettled(ref, settled),
  }))
}

/** What `compile` makes with secrets of the registry, and which it names. What routes name later is waited for by nobody. */
export function notingSecrets<T>(
  registry: SecretSource,
  compile: (secrets: SecretSource) => T,
): { readonly made: T; readonly named: readonly SdsSecretRef[] } {
  const named: SdsSecretRef[] = []
  let noting = true
  const made = compile({
    depend: (listener, sources, refs) => {
      if (noting) named.push(...refs)
      registry.depend(listener, sources, refs)
    },
    secret: ref => registry.secret(ref),
    readBytes: source => registry.readBytes(source),
  })
  noting = false
  return { made, named }
}

export function clusterSecrets(contexts: TlsContexts): ClusterSecrets {
  const { registry } = contexts
  return {
    missing: config => [...new Set(refsOf(config).flatMap(ref => (registry.isSettled(ref) ? [] : [ref.name])))],
    hold: cluster => {
      for (const model of followers(cluster.config)) contexts.upstream(model, cluster)
    },
    whenComplete: (config, done) => {
      const missing = new Set(refsOf(config).filter(ref => !registry.isSettled(ref)))
      if (missing.size === 0) done()
      const stops = [...missing].map(ref =>
        registry.whenSettled(ref, () => {
          if (missing.delete(ref) && missing.size === 0) done()
        }),
      )
      return () => {
        for (const stop of stops) stop()
      }
    },
  }
}

/** Its TLS models that follow secrets by SDS: those of all others are compiled when they are needed. */
function followers({ tls, transportSocketMatches }: Cluster): UpstreamTls[] {
  const models = [tls, ...transportSocketMatches.map(match => match.tls)].filter(model => model !== null)
  return models.filter(model => secretsOf(model).length > 0)
}

function refsOf(config: Cluster): SdsSecretRef[] {
  return followers(config).flatMap(secretsOf)
}

function secretsOf({ common }: UpstreamTls): SdsSecretRef[] {
  return secretRefsOf({ common, ticketKeysSds: null }).filter(({ source }) => source.kind !== 'static')
}
