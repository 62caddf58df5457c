// Calls of Consul's Go client (test/support/consul-api-go) that are not answered as by Consul yet. Used by
// test/integration/consul-api-go.test.ts, which fails when a call is missing here, and when one is here that works.

export const GO_CLIENT_GAPS: ReadonlySet<string> = new Set()
