// The CA's state in the control plane's store (one record, sealed when an encryption key is given). Used by `ControlPlane`.
// A transaction of the store is atomic and durable once awaited, which is all that `CaStore` asks for; its compare finds out whether another
// replica has saved since.
import { type CaState, CaStateChanged, type CaStore, decodeCaState, encodeCaState, isSealed, type StateSeal } from '../../mtls/ca/store.js'
import { put, type Store } from '../store/store.js'

const KEY = 'state'

export class DatabaseCaStore implements CaStore {
  private readonly store: Store
  private readonly seal: StateSeal | undefined
  /** Of what was loaded or saved last; 0: there was nothing. */
  private modifyIndex = 0

  constructor(store: Store, seal: StateSeal | undefined) {
    this.store = store
    this.seal = seal
  }

  async load(): Promise<CaState | undefined> {
    const record = await this.store.get('ca', KEY)
    if (record === undefined) return undefined
    const text = record.value as string
    const state = decodeCaState(text, this.seal)
    this.modifyIndex = record.modifyIndex
    // From before there was an encryption key: no private key stays in the clear.
    if (this.seal !== undefined && !isSealed(text)) await this.save(state)
    return state
  }

  async save(state: CaState): Promise<void> {
    const write = put('ca', KEY, encodeCaState(state, this.seal))
    const result = await this.store.transaction([write], [{ collection: 'ca', key: KEY, modifyIndex: this.modifyIndex }])
    if (!result.ok) throw new CaStateChanged()
    this.modifyIndex = result.index
  }

  /** `listener` is told of each change, also of one's own. */
  onChange(listener: () => void): () => void {
    return this.store.subscribe(['ca'], listener)
  }
}
