// What readers of Consul's catalog that no one here wrote ask, request by request, and what they read of the answers: Prometheus' consul_sd,
// Traefik's catalog provider, Fabio. The sequences are those of their sources and documentation; the programs themselves are not needed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
const web = (id: string, port: number, status: string, tags: readonly string[] = []) => ({
  ID: id,
  Name: 'web',
  Address: '10.0.0.7',
  Port: port,
  Tags: ['v1', 'urlprefix-/shop strip=/shop', 'traefik.enable=true', 'traefik.http.routers.web.rule=Host(`web`)', ...tags],
  Meta: { 'metrics-path': '/stats' },
  TaggedAddresses: { wan: { Address: '198.51.100.7', Port: 443 } },
  Check: { CheckID: `${id}-ttl`, TTL: '10h', Status: status },
  Connect: { SidecarService: { Check: { TTL: '10h', Status: 'passing' } } },
})

beforeAll(async () => {
  api = await ApiFixture.start()
  expect((await api.put('/v1/agent/service/register', web('web-1', 8001, 'passing'))).status).toBe(200)
  expect((await api.put('/v1/agent/service/register', web('web-2', 8002, 'critical'))).status).toBe(200)
})
afterAll(() => api.stop())

describe('Prometheus: consul_sd', () => {
  it('finds its datacenter, waits for names of services, then for each service’s instances, with all that relabelling reads', async () => {
    const { body: self } = await api.get('/v1/agent/self')
    expect(self.Config.Datacenter).toBe('dc1')
    const services = await api.get('/v1/catalog/services?dc=dc1&stale=&wait=120000ms&filter=')
    expect(services.body['web']).toContain('v1')
    expect(services.index).toBeGreaterThan(0)
    const path = '/v1/health/service/web?dc=dc1&stale=&tag=v1&tag=traefik.enable%3Dtrue&wait=120000ms'
    const { body, index } = await api.get(path)
    expect(body).toHaveLength(2)
    const [{ Node, Service, Checks }] = body
    expect(Node).toMatchObject({ Node: 'node-1', Datacenter: 'dc1', Address: expect.any(String), TaggedAddresses: expect.any(Object) })
    expect(Service).toMatchObject({ ID: 'web-1', Service: 'web', Address: '10.0.0.7', Port: 8001, Meta: { 'metrics-path': '/stats' } })
    expect(Service.TaggedAddresses.wan).toEqual({ Address: '198.51.100.7', Port: 443 })
    expect(Checks.map(({ Status }: { Status: string }) => Status)).not.toContain('critical')
    // The watch of the service sleeps until it changes.
    const changed = () => api.put('/v1/agent/check/warn/web-1-ttl')
    expect(await api.blocks(path, changed)).toBe(true)
    expect((await api.get(path)).index).toBeGreaterThan(index)
    await api.put('/v1/agent/check/pass/web-1-ttl')
  })

  it('the watch of all names sleeps while a check changes, and wakes for a new service', async () => {
    const path = '/v1/catalog/services?stale='
    const { index } = await api.get(path)
    await api.put('/v1/agent/check/warn/web-1-ttl')
    expect((await api.get(path)).index).toBe(index)
    await api.put('/v1/agent/check/pass/web-1-ttl')
    expect(await api.blocks(path, () => api.put('/v1/agent/service/register', { Name: 'fresh', Port: 1 }))).toBe(true)
  })
})

describe('Traefik: the Consul catalog provider', () => {
  it('lists services with the tag that exposes them, their healthy instances, and what it needs to speak mesh TLS', async () => {
    const filter = encodeURIComponent('"traefik.enable=true" in ServiceTags')
    const { body: services } = await api.get(`/v1/catalog/services?filter=${filter}&stale=`)
    expect(Object.keys(services)).toEqual(expect.arrayContaining(['web']))
    expect(services).not.toHaveProperty('fresh')
    const { body: instances } = await api.get(`/v1/health/service/web?stale=&filter=${encodeURIComponent('Service.Port == 8001')}`)
    expect(instances.map(({ Service }: { Service: { ID: string } }) => Service.ID)).toEqual(['web-1'])
    const { body: mesh } = await api.get('/v1/health/connect/web?stale=')
    expect(mesh[0].Service.Proxy.DestinationServiceName).toBe('web')
    expect(mesh[0].Service.Port).toBeGreaterThan(0)
    // Its own identity, of a service that nobody registered.
    const { body: leaf } = await api.get('/v1/agent/connect/ca/leaf/traefik')
    expect(leaf).toMatchObject({
      ServiceURI: expect.stringMatching(/\/svc\/traefik$/),
      CertPEM: expect.any(String),
      PrivateKeyPEM: expect.any(String),
    })
    const { body: roots, index } = await api.get('/v1/agent/connect/ca/roots')
    expect(roots.Roots.filter(({ Active }: { Active: boolean }) => Active)[0].RootCert).toContain('BEGIN CERTIFICATE')
    expect(index).toBeGreaterThan(0)
  })
})

describe('Fabio', () => {
  it('watches the state of all checks, reads the catalog of what passes, keeps its overrides in the key/value store', async () => {
    expect((await api.get('/v1/agent/self')).body.Config.Datacenter).toBe('dc1')
    const { body: checks, index } = await api.get('/v1/health/state/any?consistent=')
    const byService = checks.filter(({ ServiceName }: { ServiceName: string }) => ServiceName === 'web')
    expect(byService.map(({ ServiceID, Status }: Record<string, string>) => `${ServiceID} ${Status}`).sort()).toEqual([
      'web-1 passing',
      'web-2 critical',
    ])
    // Maintenance and the node's own check are among them, by the ids that Fabio knows.
    expect(checks.map(({ CheckID }: { CheckID: string }) => CheckID)).toContain('serfHealth')
    const { body: services } = await api.get('/v1/catalog/service/web?consistent=')
    expect(services[0]).toMatchObject({
      ServiceID: 'web-1',
      ServiceAddress: '10.0.0.7',
      ServicePort: 8001,
      ServiceTags: expect.arrayContaining(['urlprefix-/shop strip=/shop']),
    })
    expect(await api.blocks('/v1/health/state/any?consistent=', () => api.put('/v1/agent/check/pass/web-2-ttl'))).toBe(true)
    expect((await api.get('/v1/health/state/any?consistent=')).index).toBeGreaterThan(index)

    expect((await api.get('/v1/kv/fabio/config?recurse=')).status).toBe(404)
    const written = () => api.put('/v1/kv/fabio/config/extra', 'route add web /x http://10.0.0.7:8001/')
    expect(await api.blocks('/v1/kv/fabio/config?recurse=', written)).toBe(true)
    const { body: pairs } = await api.get('/v1/kv/fabio/config?recurse=&consistent=')
    expect(Buffer.from(pairs[0].Value, 'base64').toString()).toContain('route add web')
  })

  it('registers itself with a check, sees it among the agent’s, and leaves', async () => {
    const service = {
      ID: 'fabio-host-9998',
      Name: 'fabio',
      Address: '127.0.0.1',
      Port: 9998,
      Tags: ['admin'],
      Check: {
        HTTP: 'http://127.0.0.1:9998/health',
        Interval: '1s',
        Timeout: '3s',
        TLSSkipVerify: false,
        DeregisterCriticalServiceAfter: '90m',
      },
    }
    expect((await api.put('/v1/agent/service/register', service)).status).toBe(200)
    expect((await api.get('/v1/agent/services')).body['fabio-host-9998'].Service).toBe('fabio')
    expect((await api.put('/v1/agent/service/deregister/fabio-host-9998')).status).toBe(200)
    expect((await api.get('/v1/agent/services')).body).not.toHaveProperty('fabio-host-9998')
  })
})
