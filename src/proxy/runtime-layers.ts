// The runtime of a proxy: layers in the bootstrap's order, later ones winning. Server makes one; RTDS replaces the values of a layer;
// routes and filters read it at each decision, admin prints it.

import type { Runtime } from '../l7/match/runtime-fraction.js'
import type { RuntimeHandles } from '../metrics/stat-names.js'
import type { RuntimeLayer, RuntimeValue } from '../model/bootstrap.js'

export class RuntimeLayers implements Runtime {
  /** In order. */
  readonly layers: (Omit<RuntimeLayer, 'values'> & { values: ReadonlyMap<string, RuntimeValue> })[]
  private readonly stats: RuntimeHandles | null
  private merged: ReadonlyMap<string, RuntimeValue> = new Map()

  constructor(layers: readonly RuntimeLayer[], stats: RuntimeHandles | null = null) {
    this.stats = stats
    this.layers = layers.map(layer => ({ ...layer }))
    this.merge()
  }

  // HOT: once a decision that names a runtime key.
  get(key: string): RuntimeValue | undefined {
    return this.merged.get(key)
  }

  /** Keys of all layers with their final values. */
  entries(): ReadonlyMap<string, RuntimeValue> {
    return this.merged
  }

  /** RTDS: new values of every layer that takes them from the resource `resource`; an empty map when it is gone. */
  set(resource: string, values: ReadonlyMap<string, RuntimeValue>): void {
    for (const layer of this.layers) if (layer.rtds?.name === resource) layer.values = values
    this.merge()
  }

  /** /runtime_modify has somewhere to put its values. */
  get hasAdminLayer(): boolean {
    return this.layers.some(layer => layer.isAdmin)
  }

  /** Sets keys of the admin layer; '' removes one. */
  modify(changes: readonly (readonly [key: string, value: string])[]): void {
    const layer = this.layers.findLast(each => each.isAdmin)
    if (layer === undefined) return
    const values = new Map(layer.values)
    for (const [key, value] of changes) {
      if (value === '') values.delete(key)
      else values.set(key, runtimeValue(value))
    }
    layer.values = values
    if (this.stats !== null) this.stats.admin_overrides_active.value = values.size > 0 ? 1 : 0
    this.merge()
  }

  private merge(): void {
    this.merged = new Map(this.layers.flatMap(layer => [...layer.values]))
    if (this.stats === null) return
    this.stats.load_success.value++
    // No layer is a directory of files here, so none has an override directory.
    this.stats.override_dir_not_exists.value++
    this.stats.num_layers.value = this.layers.length
    this.stats.num_keys.value = this.merged.size
  }
}

/** As in a layer of the bootstrap: what reads as a number or a truth value is one. */
function runtimeValue(text: string): RuntimeValue {
  if (text === 'true' || text === 'false') return text === 'true'
  const number = Number(text)
  return text.trim() === '' || Number.isNaN(number) ? text : number
}
