// One RBAC decision with 10 and with 10,000 intentions, as Consul compiles them: one L4 policy of many principals, and one L7 policy per
// source; on an open connection (candidates known) and for a new peer. 10,000 must cost about as 10. Answers are asserted first.
import { strict as assert } from 'node:assert'
import { bench, describe } from 'vitest'
import { compileRbac, type RbacEngine } from '../../src/l7/rbac/rbac-engine.js'
import type { RbacInput } from '../../src/l7/rbac/rbac-input.js'
import type { RbacPrincipal, RbacRules } from '../../src/model/rbac.js'
import { head, info, mesh } from '../../test/l7/request-fixtures.js'

const PER_RUN = 1000
const TD = '11111111-2222-3333-4444-555555555555.consul'
const source = (name: string): RbacPrincipal => ({
  kind: 'authenticated',
  matcher: { kind: 'regex', value: `^spiffe://${TD.replaceAll('.', '\\.')}/ns/default/dc/[^/]+/svc/${name}$` },
})
const input = (name: string): RbacInput => {
  const connection = mesh(`spiffe://${TD}/ns/default/dc/dc1/svc/${name}`)
  const request = head('/api/items')
  return { connection, head: request, info: info(request, connection) }
}

const layer4 = (count: number): RbacRules => ({
  action: 'ALLOW',
  policies: [
    {
      name: 'consul-intentions-layer4',
      permissions: [{ kind: 'any' }],
      principals: Array.from({ length: count }, (_unused, i) => source(`svc-${i}`)),
    },
  ],
})
const layer7 = (count: number): RbacRules => ({
  action: 'ALLOW',
  policies: Array.from({ length: count }, (_unused, i) => ({
    name: `consul-intentions-layer7-${i}`,
    permissions: [{ kind: 'urlPath', matcher: { kind: 'prefix', value: '/api', ignoreCase: false } }],
    principals: [source(`svc-${i}`)],
  })),
})

function run(engine: RbacEngine, of: RbacInput): number {
  let allowed = 0
  for (let i = 0; i < PER_RUN; i++) if (engine.decide(of).allowed) allowed++
  return allowed
}

for (const [name, rules] of [
  ['one L4 policy', layer4],
  ['one L7 policy per source', layer7],
] as const) {
  describe(`${name}, 1000 decisions a run`, () => {
    for (const count of [10, 10_000]) {
      const engine = compileRbac(rules(count))
      const known = input(`svc-${count - 1}`)
      const unknown = input('nobody')
      assert.equal(run(engine, known), PER_RUN)
      assert.equal(run(engine, unknown), 0)
      bench(`${count} sources, allowed`, () => {
        run(engine, known)
      })
      bench(`${count} sources, denied`, () => {
        run(engine, unknown)
      })
      const peers = Array.from({ length: PER_RUN }, (_unused, i) => input(`svc-${i % count}`))
      bench(`${count} sources, a new peer each`, () => {
        for (const { connection, head: request, info: stream } of peers) {
          // A new identity object is a new connection: nothing is known of it.
          const tls = { ...connection.tls!, peer: { ...connection.tls!.peer! } }
          engine.decide({ connection: { ...connection, tls }, head: request, info: stream })
        }
      })
    }
  })
}
