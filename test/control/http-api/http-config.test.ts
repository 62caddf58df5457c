// What the agent configuration says of the HTTP API as a whole.
import { expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

it('serves no endpoint that is blocked, however its path is written', async () => {
  const api = await ApiFixture.start({ httpConfig: { blockEndpoints: ['/v1/agent', '/v1/kv/secret/'] } })
  try {
    for (const path of ['/v1/agent/self', '/v1/%61gent/self', '/v1/kv/secret/a', '/v1/kv/secret%2Fa', '/v1/kv/%73ecret/a'])
      expect([path, (await api.get(path)).status]).toEqual([path, 403])
    expect((await api.put('/v1/kv/secrets', 'x')).status).toBe(200)
    expect((await api.get('/v1/kv/secrets')).status).toBe(200)
  } finally {
    await api.stop()
  }
})

it('answers in one plain line what no route takes, whatever the body', async () => {
  const api = await ApiFixture.start()
  try {
    expect(await api.call('POST', '/v1/kv/a', 'no JSON')).toMatchObject({ status: 405, body: 'method POST not allowed' })
    expect(await api.put('/v1/nothing', '{')).toMatchObject({ status: 404, body: 'Invalid URL path: not a recognized HTTP API endpoint' })
    const bad = await api.get('/v1/kv/%ff')
    expect(bad).toMatchObject({ status: 400, body: "'/v1/kv/%ff' is not a valid url component" })
    expect(bad.headers.get('content-type')).toMatch(/^text\/plain/)
  } finally {
    await api.stop()
  }
})

it('prints durations as Go reads them: nanoseconds, and words where Consul has words', async () => {
  const api = await ApiFixture.start()
  const entries = [
    {
      Kind: 'service-defaults',
      Name: 'a',
      Protocol: 'http',
      UpstreamConfig: { Defaults: { PassiveHealthCheck: { Interval: '5s', MaxFailures: 3, BaseEjectionTime: 10e9 } } },
    },
    {
      Kind: 'service-resolver',
      Name: 'a',
      ConnectTimeout: '3s',
      LoadBalancer: { Policy: 'maglev', HashPolicies: [{ Field: 'cookie', FieldValue: 'c', CookieConfig: { TTL: '1m30s' } }] },
    },
    { Kind: 'jwt-provider', Name: 'p', JSONWebKeySet: { Remote: { URI: 'https://example.com/jwks', CacheDuration: '10s' } } },
  ]
  try {
    for (const entry of entries) expect(await api.put('/v1/config', entry), JSON.stringify(entry)).toMatchObject({ status: 200 })
    const defaults = { UpstreamConfig: { Defaults: { PassiveHealthCheck: { Interval: 5e9, MaxFailures: 3, BaseEjectionTime: 10e9 } } } }
    expect((await api.get('/v1/config/service-defaults/a')).body).toMatchObject(defaults)
    expect((await api.get('/v1/config/service-defaults')).body).toMatchObject([defaults])
    expect((await api.get('/v1/config/service-resolver/a')).body).toMatchObject({
      ConnectTimeout: '3s',
      LoadBalancer: { HashPolicies: [{ CookieConfig: { TTL: 90e9 } }] },
    })
    const provider = (await api.get('/v1/config/jwt-provider/p')).body
    expect(provider).toMatchObject({ JSONWebKeySet: { Remote: { CacheDuration: 10e9 } } })
    // What is read can be written back.
    const { index } = await api.get('/v1/config/jwt-provider/p')
    expect((await api.put('/v1/config', provider)).status).toBe(200)
    expect((await api.get('/v1/config/jwt-provider/p')).index).toBe(index)
  } finally {
    await api.stop()
  }
})
