// This server as an instance of the service `consul`, which every catalog of Consul's has: it is in no store, since it is there as long as the
// server is. Shown by the HTTP API's catalog and health, and answered by DNS.
import { CONSUL_VERSION } from '../consul-version.js'
import { type CatalogInstance, OWN_NODE } from './catalog-types.js'

export const SERVER_SERVICE = 'consul'
/** A server's port for Consul's RPC, which nothing answers here; clients read it out of addresses and show it. */
export const SERVER_RPC_PORT = 8_300

export function serverInstance(): CatalogInstance {
  return {
    ID: SERVER_SERVICE,
    Kind: '',
    Service: SERVER_SERVICE,
    Tags: [],
    Meta: { version: CONSUL_VERSION, raft_version: '3' },
    Address: '',
    Port: SERVER_RPC_PORT,
    SocketPath: '',
    TaggedAddresses: {},
    Weights: { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
    Native: false,
    LocallyRegisteredAsSidecar: false,
    Node: OWN_NODE,
    CreateIndex: 1,
    ModifyIndex: 1,
  }
}
