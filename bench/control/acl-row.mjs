// What ACLs cost an answer: two control planes, one with ACLs and a token of 1,000 policies, are read in turns over one kept connection each;
// the row is the difference of their CPU time per answer. Called by control-main.mjs, which gives it a way to start a control plane.
// Other work on the machine makes both dearer for a while: turns are short, each is compared with the one beside it, and the median of the
// differences is what stays. Invariant: both give the same answer, asserted before anything is timed.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { keepAliveClient } from './keep-alive-client.mjs'

const POLICIES = 1_000
/** Links of one object are bounded: the token has them by way of roles. */
const POLICIES_A_ROLE = 250
const PAIRS = 60
const ANSWERS_A_TURN = 400
/** The engine has compiled what a request runs by then. */
const WARM_UP = 12_000
const PATH = '/v1/kv/apps/svc-999/config?raw'

function client(base) {
  const { ask, close } = keepAliveClient(base, 1)
  return {
    ask: (method, path, token, body) =>
      ask(method, path, body === undefined ? undefined : JSON.stringify(body), token === undefined ? {} : { 'x-consul-token': token }),
    close,
  }
}

async function tokenOfManyPolicies(api, management) {
  const put = async (path, body) => {
    const { status, text } = await api.ask('PUT', path, management, body)
    assert.equal(status, 200, text)
    return JSON.parse(text)
  }
  const names = Array.from({ length: POLICIES }, (_, i) => `policy-${i}`)
  for (const [i, Name] of names.entries())
    await put('/v1/acl/policy', {
      Name,
      Rules: `service "svc-${i}" { policy = "write" }
service_prefix "team-${i % 50}-" { policy = "read" }
key_prefix "apps/svc-${i}/" { policy = "read" }
node_prefix "" { policy = "read" }`,
    })
  const Roles = []
  for (let i = 0; i < POLICIES; i += POLICIES_A_ROLE) {
    const Name = `role-${i}`
    await put('/v1/acl/role', { Name, Policies: names.slice(i, i + POLICIES_A_ROLE).map(policy => ({ Name: policy })) })
    Roles.push({ Name })
  }
  return (await put('/v1/acl/token', { Roles })).SecretID
}

/** `start(dir, flags)`: a control plane; `cpuSecondsOf(plane)`: its CPU time so far, to the microsecond. */
export async function aclRow({ dir, start, cpuSecondsOf, quantile, report }) {
  const management = randomUUID()
  const secretFile = join(dir, 'management')
  writeFileSync(secretFile, management)
  const planes = []
  const clients = []
  try {
    planes.push(await start(join(dir, 'open'), []), await start(join(dir, 'acl'), ['--acl', '--acl-initial-management-file', secretFile]))
    clients.push(...planes.map(plane => client(plane.http)))
    for (const api of clients) assert.equal((await api.ask('PUT', PATH.replace('?raw', ''), management, 'value')).status, 200)
    const tokens = [undefined, await tokenOfManyPolicies(clients[1], management)]
    const turn = async (i, count) => {
      for (let n = 0; n < count; n++) assert.equal((await clients[i].ask('GET', PATH, tokens[i])).text, '"value"')
    }
    for (const i of [0, 1]) await turn(i, WARM_UP)
    const open = []
    const more = []
    for (let pair = 0; pair < PAIRS; pair++) {
      const cost = [0, 0]
      for (const i of pair % 2 === 0 ? [0, 1] : [1, 0]) {
        const before = cpuSecondsOf(planes[i])
        await turn(i, ANSWERS_A_TURN)
        cost[i] = ((cpuSecondsOf(planes[i]) - before) * 1e6) / ANSWERS_A_TURN
      }
      open.push(cost[0])
      more.push(cost[1] - cost[0])
    }
    report('answer', 'µs CPU an answer, without ACLs', quantile(open, 0.5))
    for (const [row, q] of [
      ['acl-answer', 0.5],
      ['acl-answer-q1', 0.25],
      ['acl-answer-q3', 0.75],
    ])
      report(row, `µs CPU more an answer, ${POLICIES} policies, ${100 * q} % of ${PAIRS} pairs below`, quantile(more, q))
  } finally {
    for (const each of clients) each.close()
    for (const plane of planes) await plane.stop()
  }
}
