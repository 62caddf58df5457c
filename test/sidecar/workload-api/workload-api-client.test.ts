// The client of the Workload API against a server of it on a unix socket: whom it goes on to trust when what told it so is there no more.
import { afterEach, expect, it } from 'vitest'
import { systemClock } from '../../../src/io/clock.js'
import { WorkloadApiClient } from '../../../src/sidecar/workload-api/workload-api-client.js'
import { SECRET_TYPE } from '../../../src/xds/type-urls.js'
import { AnyCa } from '../../support/mesh-certificates.js'
import { until } from '../../support/proxy-process.js'
import { fakeSvid, WorkloadApiServer } from '../../support/workload-api-server.js'

const ca = new AnyCa('example.org')
const partner = new AnyCa('partner.test')
const server = new WorkloadApiServer()
let client: WorkloadApiClient | null = null
afterEach(() => {
  client?.close()
  server.close()
})

it('once the stream of bundles is there no more, those that came by it count no more: those of the identities do', async () => {
  const svids = [fakeSvid(ca, 'spiffe://example.org/api')]
  server.set({ svids, federated: { 'spiffe://partner.test': partner.pem } })
  await server.start()
  const held = new Map<string, string>()
  client = new WorkloadApiClient({
    targets: [{ address: `unix:${server.path}` }],
    onUpdate: ({ resources, removed }) => {
      for (const { name, any } of resources) held.set(name, Buffer.from(any.value).toString('latin1'))
      for (const name of removed) held.delete(name)
      return undefined
    },
    clock: systemClock,
    random: () => 0,
    logger: { info: () => {}, warn: () => {} },
  })
  client.subscribe(SECRET_TYPE, ['default', 'ALL'])
  client.start()
  await until('both secrets', () => held.has('default') && held.get('ALL')?.includes('partner.test'))
  server.endBundles()
  server.set({ svids })
  await until('the partner is trusted no more', () => held.get('ALL')?.includes('partner.test') === false)
  expect(held.get('ALL')).toContain('example.org')
})
