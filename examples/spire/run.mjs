// A mesh whose services have their identities from SPIRE: `node examples/spire/run.mjs` (README.md). Starts a SPIRE server and agent, federates
// them with the mesh, and shows whom the shop sees. Ends with Ctrl-C, or with --once after that. Needs `spire-server` and `spire-agent` in the
// path, or SPIRE_SERVER_BIN and SPIRE_AGENT_BIN.
import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bin, Deployment, expectOk, get, until } from '../deployment.mjs'

const SERVER = process.env.SPIRE_SERVER_BIN ?? 'spire-server'
const AGENT = process.env.SPIRE_AGENT_BIN ?? 'spire-agent'
const TRUST_DOMAIN = 'example.org'
const [SERVER_PORT, BUNDLE_PORT, OUR_BUNDLE_PORT] = [28181, 28182, 28183]
const SHOP = 'http://127.0.0.1:28187'
const OLD_SHOP = 'http://127.0.0.1:28191'

const deployment = new Deployment({
  folder: import.meta.dirname,
  http: '127.0.0.1:28184',
  grpc: '127.0.0.1:28185',
  flags: ['--spiffe-bundle-addr', `127.0.0.1:${OUR_BUNDLE_PORT}`],
})
const { dir } = deployment
const file = (name, text) => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}
const spire = async (...argv) => {
  const [noun, verb, ...rest] = argv
  return (await promisify(execFile)(SERVER, [noun, verb, '-socketPath', join(dir, 'server.sock'), ...rest])).stdout
}

async function startSpire() {
  const server = `
server {
  bind_address = "127.0.0.1"
  bind_port = "${SERVER_PORT}"
  socket_path = "${join(dir, 'server.sock')}"
  trust_domain = "${TRUST_DOMAIN}"
  data_dir = "${dir}"
  log_level = "ERROR"
  federation { bundle_endpoint { address = "127.0.0.1" port = ${BUNDLE_PORT} } }
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${join(dir, 'spire.sqlite3')}" } }
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
}`
  deployment.program(SERVER, 'run', '-config', file('server.conf', server))
  await until('SPIRE server', () => spire('healthcheck', '-shallow=false'))
  const [, token] = /Token: (\S+)/.exec(await spire('token', 'generate', '-spiffeID', `spiffe://${TRUST_DOMAIN}/agent`))
  const agent = `
agent {
  server_address = "127.0.0.1"
  server_port = "${SERVER_PORT}"
  socket_path = "${join(dir, 'agent.sock')}"
  trust_domain = "${TRUST_DOMAIN}"
  trust_bundle_path = "${file('bundle.pem', await spire('bundle', 'show'))}"
  join_token = "${token}"
  data_dir = "${dir}"
  log_level = "ERROR"
}
plugins {
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}`
  deployment.program(AGENT, 'run', '-config', file('agent.conf', agent))
  await until('SPIRE agent', async () => expectOk({ status: existsSync(join(dir, 'agent.sock')) ? 200 : 0, text: 'no socket' }))
}

/** Each takes the other's bundle, and fetches it again from then on. */
async function federate() {
  const bundle = file('spire.json', await spire('bundle', 'show', '-format', 'spiffe'))
  const endpoint = ['-bundle-endpoint-url', `https://127.0.0.1:${BUNDLE_PORT}`, '-bundle-endpoint-profile', 'https_spiffe']
  const id = ['-endpoint-spiffe-id', `spiffe://${TRUST_DOMAIN}/spire/server`]
  await deployment.remote(
    'spiffe federate',
    '-name',
    'spire',
    '-mesh',
    '-trust-domain',
    TRUST_DOMAIN,
    '-trust-bundle',
    bundle,
    ...endpoint,
    ...id,
  )
  const ours = JSON.parse((await get(`http://${deployment.http}/v1/connect/ca/roots`)).text).TrustDomain
  const bundleOfOurs = file('mesh.json', await deployment.remote('spiffe bundle'))
  const from = ['-bundleEndpointURL', `https://127.0.0.1:${OUR_BUNDLE_PORT}`, '-bundleEndpointProfile', 'https_spiffe']
  const whom = ['-endpointSpiffeID', `spiffe://${ours}/agent/server/dc/dc1`]
  const given = ['-trustDomainBundlePath', bundleOfOurs, '-trustDomainBundleFormat', 'spiffe']
  await spire('federation', 'create', '-trustDomain', ours, ...from, ...whom, ...given)
  return ours
}

await deployment.run(async () => {
  // The shop says who it was told is calling: the sidecar's word, by the caller's certificate.
  const whoCalls = request => `hello ${/URI=([^;,]+)/.exec(request.headers['x-forwarded-client-cert'] ?? '')?.[1]}`
  deployment.application(28186, () => 'web')
  deployment.application(28188, whoCalls)
  deployment.application(28190, whoCalls)
  await startSpire()
  await deployment.control()
  const ours = await federate()
  for (const service of ['web', 'shop']) {
    const entry = ['-parentID', `spiffe://${TRUST_DOMAIN}/agent`, '-spiffeID', `spiffe://${TRUST_DOMAIN}/mesh/${service}`]
    await spire('entry', 'create', ...entry, '-selector', `unix:uid:${process.getuid()}`, '-federatesWith', ours)
  }
  for (const [id, ...flags] of [
    ['web', '--spiffe-endpoint-socket', `unix://${join(dir, 'agent.sock')}`],
    ['shop', '--spiffe-endpoint-socket', `unix://${join(dir, 'agent.sock')}`],
    ['old-shop'],
  ])
    deployment.start(
      ...[bin('outrigger'), 'connect', 'envoy', '-sidecar-for', id, '--http-addr', deployment.http, '--admin-bind', '127.0.0.1:0'],
      ...['--', '--log-level', 'off', ...flags],
    )
  for (const [name, url] of [
    ['shop, whose identity is SPIRE’s too', SHOP],
    ['old-shop, which has stayed with the CA of the mesh', OLD_SHOP],
  ])
    console.log(`web calls ${name}: ${(await until(name, async () => expectOk(await get(url)))).text}`)
}, `${SHOP} is the shop as web reaches it, ${OLD_SHOP} the old one.`)
