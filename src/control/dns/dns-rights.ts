// What one DNS question may see, where ACLs are on: the rules of the token that asks (the agent's own on the DNS port, the caller's by gRPC).
// Asked by dns-answers.ts for each service, node and query; what may not be seen is not there. acl/'s `Access` is one.

export interface DnsRights {
  may(resource: 'service' | 'node' | 'query', name: string, wanted: 'read'): boolean
}

/** `refused`: the token that asks is none that is known. Undefined: there are no ACLs. */
export type AskedRights = DnsRights | 'refused' | undefined
