import { describe, expect, it } from 'vitest'
import type { BuiltSnapshot } from '../../../src/control/snapshot/build-snapshot.js'
import { SnapshotError } from '../../../src/control/snapshot/kinds/proxy-kind.js'
import { TcpProxySchema } from '../../../src/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { snapshotHarness, unpack } from './snapshot-harness.js'

const { build, decode, meshOf, register, write } = snapshotHarness()

describe('SnapshotBuilder', () => {
  it('gives equal versions for equal inputs, whatever the order they were written in', async () => {
    await meshOf('http')
    await write({ Kind: 'service-router', Name: 'api', Routes: [{ Destination: { RequestHeaders: { Set: { b: '1', a: '2' } } } }] })
    const versions = (built: BuiltSnapshot) =>
      [...built.snapshot.values()].flatMap(resources => [...resources.values()].map(({ name, version }) => [name, version]))
    const first = versions(build('web-sidecar-proxy'))
    await write({ Kind: 'service-router', Name: 'api', Routes: [{ Destination: { RequestHeaders: { Set: { a: '2', b: '1' } } } }] })
    expect(versions(build('web-sidecar-proxy'))).toEqual(first)
    for (const [, version] of first) expect(version).toMatch(/^[0-9a-f]{64}$/)
  })

  it('records what it read: entries that are not there, kinds, and services of every target', async () => {
    await meshOf('http')
    await write({ Kind: 'service-defaults', Name: 'other', Protocol: 'http' })
    await write({ Kind: 'service-resolver', Name: 'api', Redirect: { Service: 'other' } })
    const { settled, endpointDependencies } = build('web-sidecar-proxy')
    const dependencies = new Set([...settled.dependencies, ...endpointDependencies])
    for (const key of [
      'entry:service-router/api',
      'entry:service-resolver/other',
      'entry:service-intentions/web',
      'entry:proxy-defaults/global',
      'service:other',
    ])
      expect([...dependencies]).toContain(key)
    expect([...dependencies]).not.toContain('entry:service-intentions/api')
  })

  it('builds nothing before the service has a certificate', async () => {
    await meshOf('http')
    expect(() => build('web-sidecar-proxy', false)).toThrow(SnapshotError)
  })

  it('reports settings that have no effect', async () => {
    await register({
      Name: 'web',
      Port: 1,
      Connect: { SidecarService: { Proxy: { Config: { local_connect_timeout_ms: 'soon', bind_port: 70_000 } } } },
    })
    expect(build('web-sidecar-proxy').settled.problems).toEqual([
      { path: 'Proxy.Config.bind_port', reason: 'must be an integer from 1 to 65535' },
      { path: 'Proxy.Config.local_connect_timeout_ms', reason: 'must be an integer from 1 to 2147483647' },
    ])
  })

  it('adds access loggers of proxy-defaults to listeners and filters', async () => {
    await meshOf('tcp')
    await write({ Kind: 'proxy-defaults', Name: 'global', AccessLogs: { Enabled: true, Type: 'file', Path: '/tmp/access.log' } })
    const snapshot = decode('web-sidecar-proxy')
    const listener = snapshot.listener('public_listener:0.0.0.0:21000')
    expect(listener.accessLog).toMatchObject([
      { name: 'Consul Listener Log', filter: { filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['NR'] } } } },
    ])
    const proxy = unpack(TcpProxySchema, snapshot.filters('public_listener:0.0.0.0:21000')[1].configType)
    expect(proxy.accessLog[0].name).toBe('Consul Listener Filter Log')
  })
})
