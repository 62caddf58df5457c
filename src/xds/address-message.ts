// An address as envoy.config.core.v3.Address, for the reports that the proxy sends (load, health). The other way is resources/address.ts's.

import { create } from '@bufbuild/protobuf'
import type { Address } from '../model/address.js'
import { type Address as AddressMessage, AddressSchema } from './gen/envoy/config/core/v3/address_pb.js'

export function addressMessage(address: Address): AddressMessage {
  if (address.kind === 'pipe') return create(AddressSchema, { address: { case: 'pipe', value: { path: address.path } } })
  const { host, port } = address
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address: host, portSpecifier: { case: 'portValue', value: port } } },
  })
}
