// Tasks against our own control plane, in one process: conditions, buffer, status API, two that share the work by a lock.
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Automation, readingOf } from '../../src/automation/automation.js'
import type { Plain } from '../../src/automation/config/config-fields.js'
import { readSyncConfig } from '../../src/automation/config/read-sync-config.js'
import { SharedApplied } from '../../src/automation/status/shared-applied.js'
import type { TaskEvent } from '../../src/automation/tasks/task-event.js'
import { ControlApi } from '../../src/cli/command-line/control-api.js'
import { ControlPlane } from '../../src/control/control-plane.js'
import { heldClock } from '../../src/io/clock.js'
import { FakeVault } from '../support/fake-vault/fake-vault.js'
import { until } from '../support/proxy-process.js'

let plane: ControlPlane
let api: ControlApi
let dir: string
const started: Automation[] = []

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-automation-'))
  plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', grpcTlsAddr: '127.0.0.1:0' })
  await plane.start()
  api = new ControlApi({ address: plane.httpAddress })
})
afterEach(async () => {
  await Promise.all(started.splice(0).map(each => each.stop()))
})
afterAll(async () => {
  await plane?.stop()
  rmSync(dir, { recursive: true, force: true })
})

interface Running {
  readonly automation: Automation
  readonly status: ControlApi
  readonly events: [string, TaskEvent][]
  /** The next run of a task that has not been looked at. */
  next(task: string): Promise<TaskEvent>
  readonly leading: boolean[]
}

let count = 0
/** One that has not been started. */
function make(config: Plain, name = `w${count++}`): Omit<Running, 'status'> {
  const events: [string, TaskEvent][] = []
  const leading: boolean[] = []
  const waiting: (() => void)[] = []
  const world = {
    clock: heldClock,
    random: () => 0,
    env: () => undefined,
    readFile: (path: string) => readFileSync(path, 'utf8'),
    wallNow: () => Date.now(),
    environment: { PATH: process.env['PATH'] },
    onOutput() {},
  }
  const whole = { port: 0, working_dir: join(dir, name), id: name, buffer_period: { enabled: false }, ...config }
  const automation = new Automation({
    config: readSyncConfig([whole], name, readingOf(world)).config,
    api,
    clock: heldClock,
    world,
    onEvent: (task, event) => {
      events.push([task, event])
      for (const resolve of waiting.splice(0)) resolve()
    },
    onLeading: is => {
      leading.push(is)
      for (const resolve of waiting.splice(0)) resolve()
    },
    onProblem() {},
  })
  const looked = new Set<TaskEvent>()
  const next = async (task: string): Promise<TaskEvent> => {
    for (;;) {
      const found = events.find(([of, event]) => of === task && !looked.has(event))
      if (found !== undefined) {
        looked.add(found[1])
        return found[1]
      }
      await new Promise<void>(resolve => waiting.push(resolve))
    }
  }
  return { automation, events, next, leading }
}

async function run(config: Plain, name?: string): Promise<Running> {
  const made = make(config, name)
  started.push(made.automation)
  return { ...made, status: new ControlApi({ address: await made.automation.start() }) }
}

const register = (name: string, port: number, more: object = {}): Promise<unknown> =>
  api.put('/v1/agent/service/register', { ID: `${name}-${port}`, Name: name, Port: port, ...more })
const at = (file: string): string => join(dir, file)
const read = (file: string): string => readFileSync(at(file), 'utf8')
const fileTask = (name: string, contents: string, more: object = {}): Plain => ({
  name,
  template: { destination: at(`${name}.out`), contents },
  ...more,
})

describe('tasks', () => {
  it('a template follows what it asks, and is not written before all of it is there', async () => {
    await register('follow', 1)
    const { next, events } = await run({
      task: [fileTask('follow', '{{ range service "follow" }}{{ .Port }} {{ end }}{{ key "follow/key" }}')],
    })
    await api.put('/v1/kv/follow/key', 'x')
    expect(await next('follow')).toMatchObject({ success: true, changed: true, trigger: 'start' })
    expect(read('follow.out')).toBe('1 "x"')
    await register('follow', 2)
    expect(await next('follow')).toMatchObject({ success: true, trigger: 'template' })
    expect([read('follow.out'), events.length]).toEqual(['1 2 "x"', 2])
  })

  it('a condition of services with a regexp, a tag and a filter hands their instances on', async () => {
    await register('re-a', 1, { Tags: ['v1'], Meta: { m: '1' } })
    await register('re-b', 2, { Tags: ['v2'] })
    const condition = { services: { regexp: '^re-', tag: 'v1', filter: 'Service.Meta.m == "1"', cts_user_defined_meta: { own: 'x' } } }
    const { status, next } = await run({
      task: [fileTask('plain', 'x'), { name: 'hook', enabled: false, condition, webhook: { url: 'http://127.0.0.1:1' } }],
    })
    await next('plain')
    const { text } = await status.call({ method: 'PATCH', path: '/v1/tasks/hook?run=inspect', body: '{}' })
    const { plan } = (JSON.parse(text) as { inspect: { plan: string } }).inspect
    const { services } = JSON.parse(plan.slice(plan.indexOf('\n'))) as { services: Record<string, Record<string, unknown>> }
    expect(Object.values(services)).toMatchObject([
      { id: 're-a-1', name: 're-a', port: 1, tags: ['v1'], meta: { m: '1' }, status: 'passing', cts_user_defined_meta: { own: 'x' } },
    ])
    expect(Object.keys(services)[0]).toMatch(/^re-a-1\..+\.dc1$/)
  })

  it('a key triggers, intentions trigger, and the schedule does by the clock', async () => {
    await api.put('/v1/kv/cond/a', 1)
    const { next } = await run({
      task: [
        fileTask('kv', '{{ timestamp "unix" | len }}', { condition: { 'consul-kv': { path: 'cond', recurse: true } } }),
        fileTask('int', 'x', {
          condition: { intentions: { source_services: { names: ['web'] }, destination_services: { regexp: '^api$' } } },
        }),
        fileTask('cron', 'x', { condition: { schedule: { cron: '* * * * * * *' } } }),
      ],
    })
    await Promise.all([next('kv'), next('int'), next('cron')])
    await api.put('/v1/kv/cond/b', 2)
    expect(await next('kv')).toMatchObject({ trigger: 'consul-kv', changed: false })
    await api.put('/v1/connect/intentions/exact?source=web&destination=api', { Action: 'deny' })
    expect(await next('int')).toMatchObject({ trigger: 'intentions' })
    expect(await next('cron')).toMatchObject({ trigger: 'schedule' })
  })

  it('one that fails harms no other, is tried again, and keeps what it wrote before', async () => {
    const bad = fileTask('bad', 'x', {
      template: { destination: at('bad.out'), contents: '{{ keyOrDefault "bad/key" "1" }}', check: ['grep', '1', '{file}'] },
    })
    const { next, status } = await run({ task: [bad, fileTask('good', '{{ keyOrDefault "bad/key" "1" }}')] })
    await Promise.all([next('bad'), next('good')])
    await api.put('/v1/kv/bad/key', 7)
    expect(await next('good')).toMatchObject({ success: true })
    expect(await next('bad')).toMatchObject({ success: false, attempts: 3, error: 'check grep: exit code 1' })
    expect([read('bad.out'), read('good.out')]).toEqual(['1', '7'])
    expect(await status.getJson('/v1/status')).toMatchObject({
      task_summary: { status: { successful: 1, errored: 1, critical: 0, unknown: 0 }, enabled: { true: 2, false: 0 } },
    })
    expect(await status.getJson('/v1/status/tasks/bad?include=events')).toMatchObject({
      bad: {
        task_name: 'bad',
        status: 'errored',
        events: [
          { success: false, error: { message: 'check grep: exit code 1' } },
          { success: true, error: null },
        ],
      },
    })
  })

  it('a secret of Vault is read under its token, and a task without a Vault says so', async () => {
    const vault = new FakeVault({ clock: heldClock })
    await vault.start()
    try {
      vault.mountKv('kv')
      vault.putSecret('kv', 'app', { password: 's3cret' })
      const task = fileTask('secret', '{{ with secret "kv/data/app" }}{{ .Data.data.password }}{{ end }}')
      const { next } = await run({ vault: { address: vault.address, token: 'root' }, task: [task] })
      expect(await next('secret')).toMatchObject({ success: true })
      expect([read('secret.out'), vault.violations]).toEqual(['s3cret', []])
      const { status } = await run({ task: [{ ...task, enabled: false }] })
      await expect(status.call({ method: 'PATCH', path: '/v1/tasks/secret?run=inspect', body: '{}' })).rejects.toThrow(
        /no Vault is configured/,
      )
    } finally {
      await vault.stop()
    }
  })

  it('the audit says who did what, why and from what', async () => {
    await api.put('/v1/kv/audit', 1)
    const { next } = await run({ task: [fileTask('audit', '{{ key "audit" }}')] }, 'audited')
    await next('audit')
    const [line] = read('audited/audit.jsonl').trim().split('\n')
    expect(JSON.parse(line!)).toMatchObject({
      actor: 'audited',
      task: 'audit',
      action: 'run',
      driver: 'template',
      trigger: 'start',
      success: true,
      asked: ['/v1/kv/audit'],
      files: [{ path: at('audit.out'), before: '', after: expect.stringMatching(/^[0-9a-f]{64}$/) }],
    })
  })
})

describe('the API', () => {
  it('makes, shows, turns off and on, runs and deletes tasks, and remembers them', async () => {
    const first = await run({ task: [fileTask('given', '1')] }, 'kept')
    await first.next('given')
    const { status } = first
    const patch = (path: string, body: object) => status.call({ method: 'PATCH', path, body: JSON.stringify(body) })
    const task = fileTask('made', '{{ keyOrDefault "made" "0" }}')
    expect(await status.postJson('/v1/tasks?run=inspect', { task })).toMatchObject({
      run: { changes_present: true, plan: expect.stringContaining('+0') },
    })
    await expect(status.getJson('/v1/tasks/made')).rejects.toThrow(/does not exist/)
    expect(await status.postJson('/v1/tasks', { task })).toMatchObject({ task: { name: 'made', enabled: true } })
    await first.next('made')
    await patch('/v1/tasks/made', { enabled: false })
    await api.put('/v1/kv/made', 5)
    expect(await status.getJson('/v1/tasks/made')).toMatchObject({ task: { enabled: false } })
    await patch('/v1/tasks/made?run=now', {})
    expect(await first.next('made')).toMatchObject({ trigger: expect.stringContaining('api 127.0.0.1'), changed: true })
    expect(read('made.out')).toBe('5')
    await first.automation.stop()
    started.splice(started.indexOf(first.automation), 1)
    const again = await run({ task: [fileTask('given', '1')] }, 'kept')
    expect(await again.status.getJson('/v1/tasks')).toMatchObject({
      tasks: [
        { name: 'given', enabled: true },
        { name: 'made', enabled: false },
      ],
    })
    await again.status.delete('/v1/tasks/made')
    await expect(again.status.getJson('/v1/tasks/made')).rejects.toThrow(/does not exist/)
    expect(await again.status.getJson('/v1/health')).toEqual({})
  })

  it('a new task that is run at once runs once, and one that fails so is not there', async () => {
    const { status, events } = await run({ task: [fileTask('given', '1', { enabled: false })] })
    const task = fileTask('at-once', '1')
    expect(await status.postJson('/v1/tasks?run=now', { task })).toMatchObject({ task: { name: 'at-once', enabled: true } })
    const bad = fileTask('bad-at-once', '1', { template: { destination: at('b.out'), contents: '1', check: ['false'] } })
    await expect(status.postJson('/v1/tasks?run=now', { task: bad })).rejects.toThrow(/check false: exit code 1/)
    await expect(status.getJson('/v1/tasks/bad-at-once')).rejects.toThrow(/does not exist/)
    expect(events.filter(([name]) => name === 'at-once')).toHaveLength(1)
  })

  it('a name is free again once its task is gone', async () => {
    const { status } = await run({ task: [] })
    for (let i = 0; i < 2; i++) {
      await status.postJson('/v1/tasks', { task: fileTask('again', '1') })
      await status.delete('/v1/tasks/again')
    }
    expect(await status.getJson('/v1/tasks')).toMatchObject({ tasks: [] })
  })

  it('a name is taken as long as something of its task runs', async () => {
    const { status } = await run({ task: [] })
    const [begun, gate] = [at('lingers.begun'), at('lingers.gate')]
    const check = ['sh', '-c', `trap '' TERM; : > ${begun}; while [ ! -e ${gate} ]; do sleep 0.02; done`]
    const task = fileTask('lingers', '1', { template: { destination: at('lingers.out'), contents: '1', check } })
    await status.postJson('/v1/tasks', { task })
    await until('its program runs', () => existsSync(begun))
    const gone = status.delete('/v1/tasks/lingers')
    await until('it is hidden', () =>
      status.getJson('/v1/tasks/lingers').then(
        () => false,
        () => true,
      ),
    )
    await expect(status.postJson('/v1/tasks', { task })).rejects.toMatchObject({
      statusCode: 409,
      message: expect.stringContaining('task with name lingers is still being deleted: try again'),
    })
    writeFileSync(gate, '')
    await gone
    expect(await status.postJson('/v1/tasks', { task })).toMatchObject({ task: { name: 'lingers' } })
  })

  it.each([
    [
      'POST',
      '/v1/tasks',
      { task: { name: 'x', colour: 1, template: { destination: '/x', contents: '' } } },
      /task.colour: is no field of this block/,
    ],
    ['POST', '/v1/tasks', {}, /task: is needed/],
    ['PATCH', '/v1/tasks/here', { name: 'y' }, /name: is no field that can be changed/],
    ['PATCH', '/v1/tasks/here', {}, /enabled: is needed/],
    ['PATCH', '/v1/tasks/here?run=later', { enabled: true }, /unsupported run parameter 'later'/],
    ['PATCH', '/v1/tasks/nowhere', { enabled: true }, /a task with the name 'nowhere' does not exist/],
    ['GET', '/v1/status/tasks?status=ill', undefined, /unsupported status parameter 'ill'/],
    ['GET', '/v1/nothing', undefined, /no such path/],
    ['GET', '/v1/tasks/%zz', undefined, /a % that stands for nothing: %zz/],
    ['GET', '/v1/status/cluster', undefined, /high availability is not configured/],
  ] as const)('%s %s is refused', async (method, path, body, reason) => {
    const { status } = await run({ task: [fileTask('here', '1', { enabled: false })] })
    await expect(status.call({ method, path, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })).rejects.toThrow(reason)
  })

  it('begins nothing of a task that was deleted while the rest of a request for it was on its way', async () => {
    const { status, events } = await run({ task: [fileTask('outrun', '1', { enabled: false })] })
    const asked = request(`${status.address}/v1/tasks/outrun`, { method: 'PATCH', headers: { Expect: '100-continue' } })
    asked.flushHeaders()
    await once(asked, 'continue')
    await status.delete('/v1/tasks/outrun')
    asked.end('{"enabled":true}')
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    response.resume()
    expect([response.statusCode, await status.getJson('/v1/tasks'), events]).toEqual([404, expect.objectContaining({ tasks: [] }), []])
  })

  it('answers loopback alone', async () => {
    const { status } = await run({ task: [] })
    const statusOf = async (host: string): Promise<number | undefined> => {
      const [response] = (await once(get(`${status.address}/v1/status`, { headers: { Host: host } }), 'response')) as [IncomingMessage]
      response.resume()
      return response.statusCode
    }
    expect([
      await statusOf('localhost:8558'),
      await statusOf('127.0.0.1'),
      await statusOf('evil.example'),
      await statusOf('localhost.evil'),
    ]).toEqual([200, 200, 403, 403])
  })

  it('makes no task for a page of a browser, which needs nobody’s permission to send a form', async () => {
    const { status } = await run({ task: [] })
    const body = JSON.stringify({ task: fileTask('evil', 'x', { reload: ['true'] }) })
    const headers = { Origin: 'https://evil.example', 'Content-Type': 'text/plain' }
    const asked = request(`${status.address}/v1/tasks`, { method: 'POST', headers }).end(body)
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    response.resume()
    expect([response.statusCode, await status.getJson('/v1/status/tasks')]).toEqual([403, {}])
  })
})

it('of two with a lock one acts, and the other when it is gone', async () => {
  const config = { high_availability: { cluster: { name: 'c1', storage: { consul: { session_ttl: '10s' } } } } }
  const one = await run({ ...config, task: [fileTask('ha', '{{ keyOrDefault "ha" "0" }}')] }, 'ha-1')
  await one.next('ha')
  const two = await run({ ...config, task: [fileTask('ha', '{{ keyOrDefault "ha" "0" }}')] }, 'ha-2')
  expect([one.leading, two.leading]).toEqual([[true], []])
  await api.put('/v1/kv/ha', 1)
  await one.next('ha')
  expect(two.events).toEqual([])
  await one.automation.stop()
  started.splice(started.indexOf(one.automation), 1)
  expect(await two.next('ha')).toMatchObject({ trigger: 'start', changed: false })
  expect([one.leading, two.leading]).toEqual([[true, false], [true]])
  expect(await two.status.getJson('/v1/status/cluster')).toMatchObject({ cluster_name: 'c1', members: [{ id: 'ha-2', leader: true }] })
})

it('who takes over does not tell again what was told, and tells what follows under an id of its own', async () => {
  const ids: string[] = []
  const hook = createServer((asked, response) => {
    ids.push(String(asked.headers['webhook-id']))
    response.end()
  })
  await new Promise<void>(resolve => hook.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}`
  const task = { name: 'told', condition: { 'consul-kv': { path: 'told', use_as_module_input: true } }, webhook: { url } }
  const config = {
    high_availability: { cluster: { name: 'c2', storage: { consul: { session_ttl: '10s' } } } },
    task: [task, fileTask('beat', '{{ keyOrDefault "beat" "0" }}')],
  }
  try {
    await api.put('/v1/kv/told', 'a')
    const one = await run(config, 'told-1')
    await one.next('told')
    await api.put('/v1/kv/told', 'b')
    await one.next('told')
    await one.automation.stop()
    started.splice(started.indexOf(one.automation), 1)
    const two = await run(config, 'told-2')
    await two.next('beat')
    await api.put('/v1/kv/told', 'a')
    await two.next('told')
    expect([ids.length, new Set(ids).size]).toEqual([3, 3])
  } finally {
    hook.close()
  }
})

it('what was applied last is told by whoever has the lock, and by nobody who had it before', async () => {
  const path = '/v1/kv/c4/leader'
  const session = async (): Promise<string> => (await api.putJson<{ ID: string }>('/v1/session/create', { LockDelay: '0s' })).ID
  const [one, two] = [await session(), await session()]
  const problems: string[] = []
  const sharedOf = (session: string) =>
    new SharedApplied({ api, key: 'c4/applied', lockKey: 'c4/leader', session: () => session, onProblem: reason => problems.push(reason) })
  const save = async (session: string, id: string): Promise<void> => {
    const shared = sharedOf(session)
    shared.save({ task: { inputs: 'x', id } })
    await shared.settled()
  }
  await api.put(`${path}?acquire=${one}`)
  await save(one, 'first')
  await api.put(`${path}?release=${one}`)
  await api.put(`${path}?acquire=${two}`)
  await save(two, 'second')
  // It was suspended, and has not heard of its loss.
  await save(one, 'late')
  await save('', 'of a follower')
  expect(await sharedOf('').load()).toEqual({ task: { inputs: 'x', id: 'second' } })
  expect(problems).toEqual([expect.stringMatching(/^high availability: what was applied last is not written: .*session/)])
})

it('what was applied last is told of any number of tasks, and only what has changed of it', async () => {
  const key = 'c5/leader'
  const { ID } = await api.putJson<{ ID: string }>('/v1/session/create', { LockDelay: '0s' })
  await api.put(`/v1/kv/${key}?acquire=${ID}`)
  const problems: string[] = []
  const sharedOf = () =>
    new SharedApplied({ api, key: 'c5/applied', lockKey: key, session: () => ID, onProblem: reason => problems.push(reason) })
  const shared = sharedOf()
  // Together, in base64, more than Consul takes of one key or one transaction.
  const records = Object.fromEntries(
    Array.from({ length: 3_000 }, (_, i) => [`task-${i}`, { inputs: 'f'.repeat(100), id: `00000000-0000-0000-0000-${i}` }]),
  )
  const save = async (applied: typeof records): Promise<void> => {
    shared.save(applied)
    await shared.settled()
  }
  await save(records)
  expect(problems).toEqual([])
  expect({ ...(await sharedOf().load()) }).toEqual(records)
  const indexOf = async (task: string): Promise<number> =>
    (await api.getJson<{ ModifyIndex: number }[]>(`/v1/kv/c5/applied/${task}`))[0]!.ModifyIndex
  const before = await indexOf('task-1')
  const { 'task-2': _gone, ...rest } = records
  await save({ ...rest, 'task-0': { inputs: 'another', id: 'x' } })
  expect(await indexOf('task-1')).toBe(before)
  const now = await sharedOf().load()
  expect([Object.keys(now).length, now['task-0'], now['task-2']]).toEqual([2_999, { inputs: 'another', id: 'x' }, undefined])
  expect(problems).toEqual([])
})

it('one that runs each task once leaves alone what those who share the work have told each other', async () => {
  const config = {
    high_availability: { cluster: { name: 'c3', storage: { consul: { session_ttl: '10s' } } } },
    task: [fileTask('single', '{{ keyOrDefault "single" "0" }}')],
  }
  const applied = (): Promise<unknown> => api.getJson('/v1/kv/consul-terraform-sync/c3/applied/single?raw')
  const one = await run(config, 'single-1')
  await one.next('single')
  await one.automation.stop()
  started.splice(started.indexOf(one.automation), 1)
  const before = await applied()
  await api.put('/v1/kv/single', 1)
  const { automation } = make(config, 'single-2')
  expect(await automation.once(false)).toMatchObject([{ task: 'single', error: '' }])
  await automation.stop()
  expect([before, await applied()]).toEqual([{ inputs: expect.any(String), id: expect.any(String) }, before])
})
