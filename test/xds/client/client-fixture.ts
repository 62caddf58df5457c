import { create } from '@bufbuild/protobuf'
import { afterEach } from 'vitest'
import { AdsClient, type AdsClientOptions, type AdsClientStatus, type XdsUpdate, type XdsVerdict } from '../../../src/xds/client/client.js'
import { NodeSchema } from '../../../src/xds/gen/envoy/config/core/v3/base_pb.js'
import { deltaServer, Inbox, sotwServer } from '../xds-peers.js'

/** Name -> version of the accepted resources of a type: what a reconnect claims to have. */
export const heldVersions = (client: AdsClient, typeUrl: string) => client['types'].get(typeUrl)?.versions ?? new Map<string, string>()

export const node = create(NodeSchema, { id: 'web-1', userAgentName: 'outrigger' })

/** Clients and servers of one test file: all are closed after each test. */
export function clientFixture() {
  const cleanups: (() => void)[] = []
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup()
  })

  function connect(port: number | string, options: Partial<AdsClientOptions> = {}) {
    const updates = new Inbox<XdsUpdate>()
    const statuses = new Inbox<AdsClientStatus>()
    const judge = options.onUpdate
    const client = new AdsClient({
      targets: [{ address: typeof port === 'string' ? port : `127.0.0.1:${port}` }],
      node,
      apiType: 'DELTA_GRPC',
      backoff: { baseMs: 1, maxMs: 5 },
      ...options,
      onUpdate: update => {
        const verdict = judge?.(update)
        updates.put(update)
        return verdict
      },
      onStatus: status => statuses.put(status),
    })
    cleanups.push(() => client.close())
    const failed = async () => {
      for (;;) {
        const status = await statuses.next()
        if (!status.connected) return status
      }
    }
    return { client, updates, failed }
  }

  async function delta() {
    const server = await deltaServer().listen()
    cleanups.push(() => server.kill())
    return server
  }

  async function sotw() {
    const server = await sotwServer().listen()
    cleanups.push(() => server.kill())
    return server
  }

  return { cleanups, connect, delta, sotw }
}

export const wildcard = { wildcard: true } as const
export const ackOf = (request: { responseNonce: string; errorDetail?: { message: string } | undefined }) => [
  request.responseNonce,
  request.errorDetail?.message ?? '',
]
export const updateNames = (update: XdsUpdate) => update.resources.map(resource => resource.name)

export function rejectNamed(name: string): (update: XdsUpdate) => XdsVerdict | undefined {
  return update =>
    updateNames(update).includes(name)
      ? {
          rejected: [
            {
              name,
              errors: [
                { path: 'a.b[2]', reason: 'is wrong' },
                { path: 'c', reason: 'too' },
              ],
            },
          ],
        }
      : undefined
}
