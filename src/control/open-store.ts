// Where the state lives, as the options say: in etcd, in a data directory, or in memory alone; and what it begins with, where it comes from elsewhere.
// Called by `ControlPlane`; etcd's client is loaded only for who asks for it.
import type { VaultSession } from '../vault/vault-session.js'
import { keysOf } from './backup/open-backups.js'
import { readRestorable } from './backup/read-restorable.js'
import type { ControlPlaneOptions } from './control-plane-options.js'
import type { ControlLogger } from './log-feed.js'
import { JournalStore } from './store/journal/journal-store.js'
import { MemoryStore } from './store/memory-store.js'
import type { Store } from './store/store.js'

/** Rejects with one line that names the place and what is wrong with it. */
export async function openStore(options: ControlPlaneOptions, vault: VaultSession | undefined, log: ControlLogger): Promise<Store> {
  const { dataDir, restore, acceptLoss, store, backups } = options
  if (store !== undefined) {
    const { EtcdStore } = await import('./store/etcd/etcd-store.js')
    const onProblem = (reason: string): void => log.warn({}, `etcd: ${reason}`)
    if (restore === undefined) return EtcdStore.open(store, onProblem)
    const { moveInto, readMoved } = await import('./move-to-store.js')
    const named = (error: Error): never => {
      throw new Error(`--restore ${restore}: ${error.message}`)
    }
    const moved = await readMoved(restore, backups && keysOf(backups, vault)).catch(named)
    const opened = await EtcdStore.open(store, onProblem, moved.records.index)
    try {
      const isNew = await moveInto(opened, moved).catch(named)
      log.warn(
        { restore, index: opened.index },
        isNew ? 'the mesh in etcd begins with this state' : 'the mesh in etcd has begun with this state: --restore has no effect',
      )
      return opened
    } catch (error) {
      await opened.close()
      throw error
    }
  }
  if (dataDir === undefined) return new MemoryStore()
  return JournalStore.open(dataDir, {
    ...(restore === undefined ? {} : { restore, readRestored: path => readRestorable(path, backups && keysOf(backups, vault)) }),
    acceptLoss: acceptLoss === true,
    onNotice: text => log.warn({ dataDir }, text),
    onProblem: reason => log.error({ dataDir }, reason),
  })
}
