// Runs this deployment in a network namespace of its own: `node examples/transparent/run.mjs` as root on Linux (README.md). The client is curl,
// which knows nothing of the mesh. Ends with Ctrl-C, or with --once after it has shown what it does.
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bin, Deployment, until } from '../deployment.mjs'

const TOOLS = ['unshare', 'ip', 'mount', 'curl']
const NOBODY = 65_534
const OUTSIDE = '10.213.0.2'
const INSIDE = 'OUTRIGGER_EXAMPLE_NAMESPACE'

if (process.env[INSIDE] === undefined) {
  const cannot =
    process.platform !== 'linux'
      ? 'transparent proxying is of Linux'
      : process.getuid() !== 0
        ? 'namespaces and redirecting rules are made by root alone: sudo node examples/transparent/run.mjs'
        : TOOLS.filter(tool => spawnSync(tool, ['--version']).error).map(tool => `${tool} is not installed`)[0]
  if (cannot !== undefined) {
    console.error(cannot)
    process.exit(1)
  }
  const argv = ['--net', '--mount', process.execPath, ...process.argv.slice(1)]
  process.exit(spawnSync('unshare', argv, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } }).status ?? 1)
}

const deployment = new Deployment({
  folder: import.meta.dirname,
  http: '127.0.0.1:28800',
  grpc: '127.0.0.1:28802',
  dns: '127.0.0.1:28853',
})

/** By a user whose connections are redirected. */
async function curl(url) {
  try {
    return (await promisify(execFile)('curl', ['-sS', '--max-time', '10', url], { uid: NOBODY, gid: NOBODY })).stdout.trim()
  } catch (error) {
    return error.stderr.trim()
  }
}

await deployment.run(async () => {
  for (const command of ['link set lo up', `addr add ${OUTSIDE}/32 dev lo`, `route add default dev lo src ${OUTSIDE}`])
    execFileSync('ip', command.split(' '))
  writeFileSync(join(deployment.dir, 'resolv.conf'), `nameserver ${OUTSIDE}\n`)
  execFileSync('mount', ['--bind', join(deployment.dir, 'resolv.conf'), '/etc/resolv.conf'])

  deployment.application(28806, request => `shop ${request.url}\n`)
  deployment.application(28807, request => `ledger ${request.url}\n`)
  // Somebody else's service.
  deployment.application(28809, request => `partner ${request.url}\n`, OUTSIDE)
  await deployment.control()
  for (const [i, service] of ['shop', 'ledger', 'web'].entries()) {
    const admin = ['--admin-bind', `127.0.0.1:${28830 + i}`]
    deployment.start(
      bin('outrigger'),
      'connect',
      'envoy',
      '-sidecar-for',
      service,
      '--http-addr',
      deployment.http,
      ...admin,
      '--',
      '--log-level',
      'error',
    )
  }
  // Here all but the client runs as root; elsewhere the sidecar has a user of its own.
  const rules = ['-proxy-uid', '0', '-proxy-inbound-port', '28823', '-consul-dns-ip', '127.0.0.1', '-consul-dns-port', '28853']
  console.log((await deployment.remote('connect redirect-traffic', ...rules)).trim())
  await until('the mesh serves', async () => {
    const text = await curl('http://shop.virtual.consul/')
    if (text !== 'shop /') throw new Error(text)
  })

  const [{ Service: shop }] = JSON.parse(await curl(`http://${deployment.http}/v1/health/connect/shop`))
  const address = shop.TaggedAddresses['consul-virtual'].Address
  console.log(`\nby name:                  ${await curl('http://shop.virtual.consul/cart')}`)
  console.log(`by its virtual address:   ${await curl(`http://${address}/cart`)}`)
  console.log(`out of the mesh:          ${await curl(`http://${OUTSIDE}:28809/offers`)}`)
  await deployment.remote('config write', join(import.meta.dirname, 'mesh-only.hcl'))
  await until('nothing leaves the mesh', async () => {
    if ((await curl(`http://${OUTSIDE}:28809/`)).startsWith('partner')) throw new Error('it still does')
  })
  console.log(`and not, where forbidden: ${await curl(`http://${OUTSIDE}:28809/offers`)}`)
  console.log(`what web may not call:    ${await curl('http://ledger.virtual.consul/')}`)
}, `the mesh is in a network namespace; its client is setpriv --reuid ${NOBODY} --clear-groups curl, started by nsenter -a -t ${process.pid}.`)
