// Sidecars inside this process: started from a bootstrap, by the same interface that the command line uses.
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import { readBootstrap, Sidecar, type SidecarBootstrap, type SidecarOptions } from '../../src/sidecar/sidecar.js'
import { freePort, hcm, listener, routesTo, socketAddress, staticCluster } from '../support/proxy-process.js'

interface Editable {
  admin: { address: object }
  static_resources: { listeners: [{ address: object; filter_chains: [{ transport_socket?: object }] }]; clusters: { name: string }[] }
}

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0)) await close()
})

const options = (given: Partial<SidecarOptions> = {}): SidecarOptions => ({
  log: () => {},
  drainTimeMs: 1000,
  drainStrategy: 'gradual',
  random: Math.random,
  env: () => undefined,
  userAgent: { name: 'test', version: '1.2.3' },
  version: '0/1.2.3/Clean/RELEASE/x',
  commandLine: {},
  logging: { levelNames: [], levels: () => new Map(), setLevels: () => null },
  unknownDynamicFields: 'count',
  onQuit: () => {},
  onFailure: () => {},
  ...given,
})

function read(bootstrap: object): SidecarBootstrap {
  const result = readBootstrap([JSON.stringify(bootstrap)], {})
  if (!result.ok) throw new Error(JSON.stringify(result.errors))
  return result.value
}

async function frontOf(text: string): Promise<{ port: number; bootstrap: object }> {
  const origin = createServer((_request, response) => response.end(text))
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  open.push(() => origin.close())
  const port = await freePort()
  return {
    port,
    bootstrap: {
      admin: { address: socketAddress(0) },
      static_resources: {
        listeners: [listener('front', port, [hcm({ stat_prefix: text, route_config: routesTo('app') })])],
        clusters: [staticCluster('app', (origin.address() as AddressInfo).port)],
      },
    },
  }
}

function get(port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve(body))
    })
      .on('error', reject)
      .end()
  })
}

async function start(bootstrap: object, given: Partial<SidecarOptions> = {}): Promise<Sidecar> {
  const started = await Sidecar.start(read(bootstrap), options(given))
  if (!started.ok) throw new Error(JSON.stringify(started.errors))
  open.push(() => started.value.close())
  return started.value
}

const adminPort = (sidecar: Sidecar): number => Number(sidecar.adminAddress!.split(':')[1])

describe('Sidecar', () => {
  it('two in one process serve side by side and count apart', async () => {
    const [one, two] = [await frontOf('one'), await frontOf('two')]
    const sidecars = [await start(one.bootstrap), await start(two.bootstrap)]
    expect([await get(one.port), await get(two.port), await get(two.port)]).toEqual(['one', 'two', 'two'])
    const [first, second] = await Promise.all(sidecars.map(each => get(adminPort(each), '/stats?filter=^http..*downstream_rq_total')))
    expect(first).toMatch(/http\.one\.downstream_rq_total: 1\n/)
    expect(first).not.toContain('http.two.')
    expect(second).toMatch(/http\.two\.downstream_rq_total: 2\n/)
  })

  it('stop() leaves nothing open, and the ports can be had again', async () => {
    const { port, bootstrap } = await frontOf('again')
    for (let i = 0; i < 2; i++) {
      const started = await Sidecar.start(read(bootstrap), options())
      expect(started.ok).toBe(true)
      expect(await get(port)).toBe('again')
      if (started.ok) await started.value.stop(1000)
    }
  })

  it('POST /quitquitquit asks whoever runs it', async () => {
    const { bootstrap } = await frontOf('quit')
    let quits = 0
    const sidecar = await start(bootstrap, { onQuit: () => quits++ })
    await new Promise<void>(resolve => {
      request({ host: '127.0.0.1', port: adminPort(sidecar), path: '/quitquitquit', method: 'POST', agent: false }, response => {
        response.resume()
        response.on('end', resolve)
      }).end()
    })
    expect(quits).toBe(1)
  })

  it('an exception out of one connection ends that connection; the others are served, and the log has its stack once', async () => {
    const { port, bootstrap } = await frontOf('served')
    const config = structuredClone(bootstrap) as Editable
    const clusters = {
      clusters: [
        { name: 'app', weight: 1 },
        { name: 'other', weight: 1 },
      ],
    }
    const routes = {
      name: 'r',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { weighted_clusters: clusters } }] }],
    }
    config.static_resources.listeners[0] = listener('front', port, [
      hcm({ route_config: routes }),
    ]) as Editable['static_resources']['listeners'][0]
    config.static_resources.clusters.push({ ...config.static_resources.clusters[0], name: 'other' })
    let broken = false
    const stacks: string[] = []
    const sidecar = await start(config, {
      log: (_level, _message, fields) => {
        if (typeof fields?.['stack'] === 'string') stacks.push(fields['stack'])
      },
      random: () => {
        if (broken) throw new Error('no dice')
        return 0.5
      },
    })
    const bystander = net.connect(port, '127.0.0.1')
    await once(bystander, 'connect')
    broken = true
    await expect(get(port)).rejects.toThrow()
    await expect(get(port)).rejects.toThrow()
    broken = false
    bystander.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    let answer = ''
    bystander.on('data', chunk => {
      answer += chunk
    })
    await once(bystander, 'close')
    expect(answer).toContain('served')
    expect(await get(adminPort(sidecar), '/stats?filter=connection_exceptions')).toBe('server.connection_exceptions: 2\n')
    expect(stacks).toEqual([expect.stringContaining('no dice')])
  })

  it('a start that fails says why by path and gives the admin port back', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    open.push(() => taken.close())
    const { bootstrap } = await frontOf('busy')
    const admin = await freePort()
    const config = structuredClone(bootstrap) as Editable
    config.admin.address = socketAddress(admin)
    config.static_resources.listeners[0].address = socketAddress((taken.address() as AddressInfo).port)
    const started = await Sidecar.start(read(config), options())
    expect(started).toMatchObject({
      ok: false,
      errors: [{ path: 'static_resources.listeners[0].address', reason: expect.stringContaining('already in use') }],
    })
    const again = net.createServer().listen(admin, '127.0.0.1')
    await once(again, 'listening')
    again.close()
  })

  it('check() refuses what start() would, and binds nothing', async () => {
    const { port, bootstrap } = await frontOf('checked')
    expect(Sidecar.check(read(bootstrap), options())).toEqual([])
    const config = structuredClone(bootstrap) as Editable
    config.static_resources.listeners[0].filter_chains[0].transport_socket = {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        common_tls_context: { tls_certificates: [{ certificate_chain: { inline_string: 'x' }, private_key: { inline_string: 'y' } }] },
      },
    }
    const [error] = Sidecar.check(read(config), options())
    expect(error?.path).toMatch(/^static_resources\.listeners\[0\]\.filter_chains\[0\]\.transport_socket\.typed_config\.common_tls_context/)
    const free = net.createServer().listen(port, '127.0.0.1')
    await once(free, 'listening')
    free.close()
  })

  it('the command line names the node before it is missed', () => {
    const ads = {
      dynamic_resources: {
        ads_config: { api_type: 'GRPC', grpc_services: [{ envoy_grpc: { cluster_name: 'x' } }] },
        cds_config: { ads: {} },
      },
      static_resources: { clusters: [staticCluster('x', 1)] },
    }
    expect(readBootstrap([JSON.stringify(ads)], {}).ok).toBe(false)
    const named = readBootstrap([JSON.stringify(ads)], { serviceNode: 'n', serviceCluster: 'c' })
    expect(named).toMatchObject({ ok: true, value: { model: { node: { id: 'n', cluster: 'c' } } } })
  })
})

it('tells our control plane where its admin listens, also where any port was asked for', async () => {
  const plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'n1' })
  await plane.start()
  open.push(() => plane.stop())
  const url = `http://${plane.httpAddress}/v1`
  const web = { Name: 'web', Port: 1, Connect: { SidecarService: { Port: await freePort() } } }
  await fetch(`${url}/agent/service/register`, { method: 'PUT', body: JSON.stringify(web) })
  const bootstrap = await fetch(`${url}/outrigger/bootstrap/web-sidecar-proxy?admin_bind=127.0.0.1:0`)
  const started = await Sidecar.start(read((await bootstrap.json()) as object), options())
  if (!started.ok) throw new Error(JSON.stringify(started.errors))
  open.push(() => started.value.close())
  const told = async (): Promise<unknown> => {
    const { Streams } = (await (await fetch(`${url}/outrigger/proxies/web-sidecar-proxy`)).json()) as { Streams: { Admin?: string }[] }
    return Streams[0]?.Admin
  }
  await expect.poll(told).toBe(started.value.adminAddress)
  expect(started.value.adminAddress).not.toMatch(/:0$/)
})
