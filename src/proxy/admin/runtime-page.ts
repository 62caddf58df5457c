// /runtime and /runtime_modify: the values of all layers, and changes to the admin layer, as Envoy's. Called by the routes.

import type { RuntimeLayers } from '../runtime-layers.js'
import { answer, answerJson } from './admin-answer.js'
import type { AdminRequest } from './admin-route.js'

const USAGE = `usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN
       or send the parameters as form values
use an empty value to remove a previously added override`

export function showRuntime(runtime: RuntimeLayers, { response }: AdminRequest): void {
  const { layers } = runtime
  const entries = [...runtime.entries()].map(([key, value]) => [
    key,
    { final_value: String(value), layer_values: layers.map(({ values }) => String(values.get(key) ?? '')) },
  ])
  answerJson(response, { layers: layers.map(({ name }) => name), entries: Object.fromEntries(entries) })
}

/** The last admin layer of the runtime takes the values; an empty one removes what was set here. */
export function modifyRuntime(
  runtime: RuntimeLayers,
  { query, response }: AdminRequest,
  modify: (values: readonly (readonly [key: string, value: string])[]) => void,
): void {
  if (!runtime.hasAdminLayer) answer(response, 503, 'No admin layer specified')
  else if (query.size === 0) answer(response, 400, USAGE)
  else {
    modify([...query])
    answer(response, 200, 'OK\n')
  }
}
