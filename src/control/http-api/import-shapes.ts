// Services of peers in the JSON shapes of Consul's catalog and health endpoints (`?peer=`). Pure; used by catalog-health.ts.
import type { ImportedService, PeerInstance } from '../peering/peering-types.js'

const OVERALL = 'overall-check'

function node({ node: { id, name, address } }: PeerInstance, peer: string): Record<string, unknown> {
  return {
    ID: id,
    Node: name,
    Address: address,
    Datacenter: '',
    TaggedAddresses: null,
    Meta: null,
    PeerName: peer,
    CreateIndex: 0,
    ModifyIndex: 0,
  }
}

/** An element of `/v1/catalog/service/:name`. */
export function importedCatalogService(instance: PeerInstance, peer: string): Record<string, unknown> {
  const { Meta: NodeMeta, ...on } = node(instance, peer)
  return {
    ...on,
    NodeMeta,
    ServiceKind: instance.kind,
    ServiceID: instance.id,
    ServiceName: instance.name,
    ServiceTags: instance.tags,
    ServiceAddress: instance.address,
    ServiceTaggedAddresses: {},
    ServiceWeights: instance.weights,
    ServiceMeta: instance.meta,
    ServicePort: instance.port,
    ServiceEnableTagOverride: false,
    ServiceProxy: { Mode: '', MeshGateway: {}, Expose: {} },
    ServiceConnect: {},
  }
}

/** An element of `/v1/health/service/:name`: a peer tells what all checks come to, as one. */
export function importedHealthEntry(instance: PeerInstance, { peer, sni, spiffeIds, protocol, CreateIndex, ModifyIndex }: ImportedService) {
  return {
    Node: node(instance, peer),
    Service: {
      Kind: instance.kind,
      ID: instance.id,
      Service: instance.name,
      Tags: instance.tags,
      Meta: instance.meta,
      Port: instance.port,
      Address: instance.address,
      TaggedAddresses: {},
      Weights: instance.weights,
      EnableTagOverride: false,
      Connect: { PeerMeta: { SNI: [sni], SpiffeID: spiffeIds, Protocol: protocol } },
      PeerName: peer,
      CreateIndex,
      ModifyIndex,
    },
    Checks: [
      {
        Node: instance.node.name,
        CheckID: `${instance.id}:${OVERALL}`,
        Name: OVERALL,
        Status: instance.status,
        Notes: '',
        Output: '',
        ServiceID: instance.id,
        ServiceName: instance.name,
        ServiceTags: instance.tags,
        Type: '',
        Interval: '',
        Timeout: '',
        ExposedPort: 0,
        Definition: {},
        PeerName: peer,
        CreateIndex,
        ModifyIndex,
      },
    ],
  }
}
