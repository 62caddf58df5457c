// EDS. Attempts and successes are counted by the clusters themselves; what only the stream knows (versions, refusals) here.

import type { ConfigError } from '../../model/config-error.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeEndpointAssignment } from '../../xds/resources/decode.js'
import { ENDPOINT_TYPE } from '../../xds/type-urls.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'
import { showVersion } from './subscription-counts.js'

export class EndpointKind implements ResourceKind {
  readonly typeUrl = ENDPOINT_TYPE
  readonly removesFirst = false
  private readonly server: Server
  private readonly decode: Decode

  constructor(server: Server, decode: Decode) {
    this.server = server
    this.decode = decode
  }

  apply(resource: XdsResource): readonly ConfigError[] {
    const decoded = this.decode(decodeEndpointAssignment, resource)
    if (!decoded.ok) return decoded.errors
    this.server.config.applyAssignment(decoded.value)
    return []
  }

  remove(name: string): void {
    this.server.clusters.assignmentAbsent(name)
  }

  refused(name: string): void {
    this.server.clusters.assignmentAbsent(name)
  }

  settled({ update, refused, durationMs }: UpdateOutcome): void {
    for (const { name, version } of update.resources) {
      for (const { stats } of this.server.clusters.edsUsersOf(name)) {
        if (refused.has(name)) {
          stats.eds.update_attempt.value++
          stats.eds.update_rejected.value++
        } else {
          showVersion(stats.eds, version)
          stats.eds.update_duration.record(durationMs)
        }
      }
    }
  }
}
