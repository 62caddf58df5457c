// /init_dump: what the start waits for, as envoy.admin.v3.UnreadyTargetsDumps JSON. Called by the routes.

import type { Server } from '../server.js'

/** `mask`: '' for everything, `listener` for the listeners alone. */
export function initDump(server: Server, mask: string): object {
  const dumps: object[] = []
  const reason = server.notReadyReason
  if (mask === '' && reason !== '') dumps.push({ name: 'init manager Server', target_names: reason.split('; ') })
  if (mask === '' || mask === 'listener')
    for (const name of server.listeners.warmingNames)
      dumps.push({ name: `init manager Listener-local-init-manager ${name}`, target_names: ['route table'] })
  return dumps.length === 0 ? {} : { unready_targets_dumps: dumps }
}
