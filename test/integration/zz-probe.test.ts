import { afterAll, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { freePort, hcm, listener, ProxyProcess, stopAll } from '../support/proxy-process.js'
afterAll(stopAll)
const rc = { name: 'x', virtual_hosts: [{ name: 'a', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] }] }
it.each(['/drain_listeners', '/drain_listeners?graceful&skip_exit', '/healthcheck/fail'])('%s', async path => {
  const port = await freePort()
  const proxy = await ProxyProcess.start({ bootstrap: { static_resources: { listeners: [listener('in', port, [hcm({ route_config: rc })])] } }, flags: ['--drain-strategy', 'immediate', '--drain-time-s', '2'] })
  const kept = await Http1Client.connect(port)
  await kept.get('/')
  await proxy.post(path)
  await new Promise(r => setTimeout(r, 300))
  console.log(path, 'closed after 300ms', kept.closed)
  console.log(path, 'server state', (await proxy.json('/server_info')).state, (await proxy.get('/ready')).status)
  const a = await kept.get('/').catch(e => e.message)
  console.log(path, a.status ?? a, a.headers?.get('connection'))
  console.log(path, 'new', await fetchOnce(port).then(x => `${x.status} ${x.headers.get('connection')}`, e => e.message))
  await new Promise(r => setTimeout(r, 2500))
  console.log(path, 'new after 2.5 s', await fetchOnce(port).then(x => `${x.status} ${x.headers.get('connection')}`, e => e.message))
  console.log(path, 'kept', kept.closed)
  const t = Date.now()
  proxy.signal('SIGTERM'); const run = await proxy.exit
  console.log(path, 'term', run.code, Date.now() - t)
})
