// What an update counts in a subscription's statistics (`cluster_manager.cds.`, `sds.<secret>.` and the like), as Envoy shows them.

import type { SubscriptionStats } from '../../metrics/subscription-stats.js'
import { xxHash64 } from '../../upstream/hash/xx-hash.js'
import type { FetchOutcome } from '../../xds/client/rest-client.js'
import type { UpdateOutcome } from './resource-kind.js'

/** A wildcard subscription, or one whose resources are counted together. */
export function countUpdate(stats: SubscriptionStats, { update, refused, durationMs }: UpdateOutcome): void {
  stats.update_attempt.value++
  if (refused.size > 0) stats.update_rejected.value++
  else {
    stats.update_success.value++
    showVersion(stats, update.systemVersion)
  }
  stats.update_duration.record(durationMs)
}

/** A poll that brought no update; one that did is counted when it is judged. */
export function countFetch(stats: SubscriptionStats, outcome: FetchOutcome): void {
  stats.update_attempt.value++
  if (outcome === 'failed') stats.update_failure.value++
  else if (outcome === 'rejected') stats.update_rejected.value++
  else if (outcome === 'same') {
    stats.update_success.value++
    stats.update_time.value = Date.now()
  }
}

/** Resources that are counted each by itself, for each who wants it; none: nobody does any more. */
export function countEach({ update, refused, durationMs }: UpdateOutcome, statsOf: (name: string) => readonly SubscriptionStats[]): void {
  for (const { name, version } of update.resources) {
    for (const stats of statsOf(name)) {
      stats.update_attempt.value++
      if (refused.has(name)) stats.update_rejected.value++
      else {
        stats.update_success.value++
        showVersion(stats, version)
        stats.update_duration.record(durationMs)
      }
    }
  }
}

/** `version` is Envoy's: the xxHash64 of the text, as far as a number holds it. */
export function showVersion(stats: SubscriptionStats, version: string): void {
  stats.update_time.value = Date.now()
  stats.version.value = Number(xxHash64(Buffer.from(version)))
  stats.version_text.value = version
}
