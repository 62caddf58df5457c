// The CA's state in the control plane's database (one record, sealed when an encryption key is given). Used by `ControlPlane`.
// `Store.put` is atomic and durable once awaited, which is all that `CaStore` asks for.
import { type CaState, type CaStore, decodeCaState, encodeCaState, isSealed, type StateSeal } from '../../mtls/ca/store.js'
import type { Store } from '../store/store.js'

const KEY = 'state'

export class DatabaseCaStore implements CaStore {
  private readonly store: Store
  private readonly seal: StateSeal | undefined

  constructor(store: Store, seal: StateSeal | undefined) {
    this.store = store
    this.seal = seal
  }

  async load(): Promise<CaState | undefined> {
    const record = await this.store.get('ca', KEY)
    if (record === undefined) return undefined
    const text = record.value as string
    const state = decodeCaState(text, this.seal)
    // From before there was an encryption key: no private key stays in the clear.
    if (this.seal !== undefined && !isSealed(text)) await this.save(state)
    return state
  }

  async save(state: CaState): Promise<void> {
    await this.store.put('ca', KEY, encodeCaState(state, this.seal))
  }
}
