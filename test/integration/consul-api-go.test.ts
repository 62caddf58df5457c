// Every call of Consul's Go client against the control plane. A call that does not yet do what it does with Consul is listed with its reason
// in test/support/consul-api-gaps.ts; the list must be exact, so that none is forgotten there and none breaks unseen.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import { GO_CLIENT_GAPS } from '../support/consul-api-gaps.js'
import { BUILD_WITHIN_MS, buildJudge, consulApiGoMissing, judge, RUN_WITHIN_MS, type Verdict } from '../support/consul-api-go.js'

describe.skipIf(consulApiGoMissing !== '')(`github.com/hashicorp/consul/api ${consulApiGoMissing}`, () => {
  let plane: ControlPlane
  let verdicts: Verdict[]
  beforeAll(async () => {
    await buildJudge()
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', grpcTlsAddr: '127.0.0.1:0' })
    await plane.start()
    verdicts = await judge(plane.httpAddress)
  }, BUILD_WITHIN_MS + RUN_WITHIN_MS)
  afterAll(() => plane?.stop())

  it('finds each of its calls answered as by Consul, but for those that are listed', () => {
    expect(verdicts.length).toBeGreaterThan(200)
    const unexpected = verdicts.filter(({ name, error }) => (error !== '') !== GO_CLIENT_GAPS.has(name))
    expect(unexpected).toEqual([])
  })
})
