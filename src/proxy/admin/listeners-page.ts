// /listeners: names and bound addresses, as Envoy's text and envoy.admin.v3.Listeners JSON.

import { formatAddress } from '../../model/address.js'
import type { Server } from '../server.js'
import { addressJson } from './clusters-page.js'

export function listenersText(server: Server): string {
  let out = ''
  for (const listener of server.listeners.active) {
    for (const address of listener.addresses) out += `${listener.version.name}::${formatAddress(address)}\n`
  }
  return out
}

export function listenersJson(server: Server): object {
  const statuses = server.listeners.active.map(listener => {
    const [local, ...additional] = listener.addresses.map(addressJson)
    return {
      name: listener.version.name,
      local_address: local,
      ...(additional.length === 0 ? {} : { additional_local_addresses: additional }),
    }
  })
  return statuses.length === 0 ? {} : { listener_statuses: statuses }
}
