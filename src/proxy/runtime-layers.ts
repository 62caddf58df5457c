// The runtime of a proxy: layers in the bootstrap's order, later ones winning. Server makes one; RTDS replaces the values of a layer;
// routes and filters read it at each decision, admin prints it.

import type { Runtime } from '../l7/match/runtime-fraction.js'
import type { RuntimeHandles } from '../metrics/stat-names.js'
import type { RuntimeLayer, RuntimeValue } from '../model/bootstrap.js'

export class RuntimeLayers implements Runtime {
  /** In order. */
  readonly layers: { readonly name: string; readonly rtds: RuntimeLayer['rtds']; values: ReadonlyMap<string, RuntimeValue> }[]
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
