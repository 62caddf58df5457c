// What a new config entry begins with, by its kind. The server checks it as one types; kinds that the server knows and are not here begin
// with their name alone.

type Template = Readonly<Record<string, unknown>>

const TEMPLATES: Readonly<Record<string, Template>> = {
  'service-defaults': { Name: 'api', Protocol: 'http' },
  'service-resolver': {
    Name: 'api',
    DefaultSubset: 'v1',
    Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
  },
  'service-splitter': {
    Name: 'api',
    Splits: [
      { Weight: 90, ServiceSubset: 'v1' },
      { Weight: 10, ServiceSubset: 'v2' },
    ],
  },
  'service-router': { Name: 'api', Routes: [{ Match: { HTTP: { PathPrefix: '/admin' } }, Destination: { Service: 'admin' } }] },
  'service-intentions': { Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] },
  'proxy-defaults': { Name: 'global', Config: { protocol: 'http' } },
  mesh: { TransparentProxy: { MeshDestinationsOnly: false } },
  'ingress-gateway': { Name: 'ingress', Listeners: [{ Port: 8080, Protocol: 'http', Services: [{ Name: 'web' }] }] },
  'terminating-gateway': { Name: 'egress', Services: [{ Name: 'database' }] },
  'jwt-provider': {
    Name: 'issuer',
    Issuer: 'https://issuer.example',
    JSONWebKeySet: { Remote: { URI: 'https://issuer.example/jwks.json' } },
  },
  'exported-services': { Name: 'default', Services: [] },
}

export const KINDS: readonly string[] = Object.keys(TEMPLATES)

export function templateOf(kind: string): string {
  return JSON.stringify({ Kind: kind, ...TEMPLATES[kind] }, null, 2)
}

/** An entry as one edits it: without what the server adds. */
export function editable(entry: object): string {
  const { CreateIndex: _create, ModifyIndex: _modify, Hash: _hash, Status: _status, ...rest } = entry as Record<string, unknown>
  return JSON.stringify(rest, null, 2)
}
