// What an operator asked the admin for, or the primary found (overload), and each worker must do too. The admin carries it out in its own process and gives it to the
// workers as it is; WorkerPool repeats it to workers that start later.

import type { RecentQuery, RecentRequest } from '../../l7/log/recent-requests.js'
import type { LoadShedPoint, OverloadAction } from '../../model/overload.js'
import type { Server } from '../server.js'

export type WorkerCommand =
  | { readonly command: 'health'; readonly failed: boolean }
  | { readonly command: 'drain'; readonly inboundOnly: boolean; readonly graceful: boolean; readonly skipExit: boolean }
  | { readonly command: 'runtime'; readonly values: readonly (readonly [key: string, value: string])[] }
  | { readonly command: 'log-levels'; readonly levels: readonly (readonly [component: string, level: string])[] }
  | { readonly command: 'overload'; readonly name: OverloadAction | LoadShedPoint; readonly value: number }
  | { readonly command: 'reopen-logs' }

/** The processes that serve, where the admin's does not. */
export interface AdminWorkers {
  /** Resolves once the counts of this process hold those of every worker, up to now; with those of hosts, where asked. */
  collect(hosts: boolean): Promise<void>
  tell(command: WorkerCommand): void
  /** Records of requests that they served, newest first of each; `id` '' = of any. */
  recent(query: RecentQuery): Promise<readonly RecentRequest[]>
}

interface LogLevels {
  setLevels(changes: readonly (readonly [component: string, level: string])[]): string | null
}

export function carryOut(command: WorkerCommand, server: Server, logging: LogLevels): void {
  switch (command.command) {
    case 'health':
      server.healthFailed = command.failed
      return
    case 'drain':
      server.drainListeners(command)
      return
    case 'runtime':
      server.runtime.modify(command.values)
      return
    case 'log-levels':
      logging.setLevels(command.levels)
      return
    case 'overload':
      server.overloadActions?.set(command.name, command.value)
      return
    case 'reopen-logs':
      server.sinks.reopen()
  }
}
