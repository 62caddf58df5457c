// The mesh's certificate authority over the store: loaded or made at the start, followed where other replicas change it, maintained by the one
// replica that holds the task, unless it is inert. Opened by `ControlPlane`.
import { type CaEvent, CertificateAuthority, type CertificateAuthorityOptions } from '../../mtls/ca/authority.js'
import type { StateSeal } from '../../mtls/ca/store.js'
import type { Store } from '../store/store.js'
import { DatabaseCaStore } from './database-ca-store.js'

export interface AuthorityOptions extends Omit<CertificateAuthorityOptions, 'store'> {
  readonly store: Store
  readonly seal: StateSeal | undefined
  /** Told of what the start changes, too. */
  readonly onChange: (event: CaEvent) => void
  readonly onProblem: (reason: string) => void
}

export interface OpenAuthority {
  readonly ca: CertificateAuthority
  stop(): Promise<void>
}

/** Rejects with `CaError`. */
export async function openAuthority({ store, seal, onChange, ...options }: AuthorityOptions): Promise<OpenAuthority> {
  const caStore = new DatabaseCaStore(store, seal)
  const ca = new CertificateAuthority({ ...options, store: caStore })
  ca.onChange(onChange)
  await ca.init()
  const failed = (error: Error): void => options.onProblem(`certificate authority: ${error.message}`)
  const unfollow = store.isShared ? caStore.onChange(() => void ca.followStore().catch(failed)) : () => {}
  const endMaintenance = store.leases.contend('certificate-authority', lease => {
    if (options.inert !== true) ca.start()
    lease.signal.addEventListener('abort', () => ca.stopMaintenance(), { once: true })
  })
  return {
    ca,
    stop: async () => {
      unfollow()
      await endMaintenance()
      await ca.close()
    },
  }
}
