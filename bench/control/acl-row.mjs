// What ACLs cost an answer: two control planes, one with ACLs and a token of 1,000 policies, are read in turns over one kept connection each;
// the row is the difference of their CPU time per answer. Called by control-main.mjs, which gives it a way to start a control plane.
// Invariant: both give the same answer, asserted before anything is timed.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { keepAliveClient } from './keep-alive-client.mjs'

const POLICIES = 1_000
/** Links of one object are bounded: the token has them by way of roles. */
const POLICIES_A_ROLE = 250
const ROUNDS = 7
const ANSWERS_A_ROUND = 3_000
const WARM_UP = 3_000
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

/** `start(dir, flags)`: a control plane; `cpuSecondsOf(plane)`: its CPU time so far. */
export async function aclRow({ dir, start, cpuSecondsOf, report }) {
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
    const used = [[], []]
    for (let round = 0; round < ROUNDS; round++)
      for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const before = cpuSecondsOf(planes[i])
        await turn(i, ANSWERS_A_ROUND)
        used[i].push(((cpuSecondsOf(planes[i]) - before) * 1e6) / ANSWERS_A_ROUND)
      }
    const [open, guarded] = used.map(values => values.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)])
    report('answer', 'µs CPU an answer, without ACLs', open)
    report('acl-answer', `µs CPU more an answer, ${POLICIES} policies`, guarded - open)
  } finally {
    for (const each of clients) each.close()
    for (const plane of planes) await plane.stop()
  }
}
