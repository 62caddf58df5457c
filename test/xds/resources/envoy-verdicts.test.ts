// What Envoy 1.40 (--mode validate) says of some 790 bootstraps, recorded in envoy-verdicts.jsonl, against what we say. Each case varies one
// thing of a small valid config. `differs` says why where we answer otherwise on purpose. With ENVOY_BIN each eighth of the recording is
// checked too, and all of it with ENVOY_VERDICTS=all.

import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'
import { bootstrapJson, clusterJson, hcm, type Json, listenerJson, router, TYPE } from './messages.js'

const run = promisify(execFile)

interface Case {
  readonly name: string
  readonly kind: 'bootstrap' | 'hcm' | 'route' | 'cluster' | 'filters' | 'chain' | 'format'
  readonly args?: Json
  readonly filters?: Json[]
  /** Envoy asks for a node where a server is asked. */
  readonly node?: boolean
  readonly envoy: boolean
  readonly differs?: string
}

const lines = readFileSync(new URL('./envoy-verdicts.jsonl', import.meta.url), 'utf8').replaceAll('@4097', 'a'.repeat(4097))
const cases = lines
  .trim()
  .split('\n')
  .map(line => JSON.parse(line) as Case)

const withHcm = (changes: Json): Json => bootstrapJson(listenerJson({ filters: [hcm(changes)] }))

function build(test: Case): Json {
  return test.node === true ? { ...around(test), node: { id: 'a', cluster: 'b' } } : around(test)
}

function around({ kind, args = {}, filters = [] }: Case): Json {
  switch (kind) {
    case 'bootstrap':
      return args
    case 'hcm':
      return withHcm(args)
    case 'cluster':
      return bootstrapJson(listenerJson(), clusterJson(args))
    case 'format':
      return withHcm({
        access_log: [
          {
            name: 'a',
            typed_config: {
              '@type': `${TYPE}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`,
              log_format: { text_format_source: { inline_string: args['text'] } },
            },
          },
        ],
      })
    case 'filters':
      return withHcm({ http_filters: [...filters, router()] })
    case 'chain':
      return bootstrapJson(listenerJson({ filters: [...filters, hcm()], ...args }))
    case 'route': {
      const { vh, route, rc, match, action } = args as Record<string, Json | undefined>
      const merged = { match: match ?? { prefix: '/' }, route: action ?? { cluster: 'c' }, ...route } as Json
      const own = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null))
      return withHcm({ route_config: { virtual_hosts: [{ name: 'a', domains: ['*'], routes: [own], ...vh }], ...rc } })
    }
  }
}

describe('the verdict on a bootstrap is Envoy’s', () => {
  for (const test of cases) {
    const what = test.kind === 'format' ? `the format ${test.args!['text']}` : test.name
    const title = test.differs === undefined ? `${test.envoy ? 'takes' : 'refuses'} ${what}` : `differs on ${what}: ${test.differs}`
    it(title, () => {
      const result = parseBootstrap(JSON.stringify(build(test)))
      const errors = result.ok ? '' : result.errors.map(error => `${error.path}: ${error.reason}`).join('\n')
      expect(result.ok, errors).toBe(test.differs === undefined ? test.envoy : !test.envoy)
      if (!result.ok) expect(result.errors.every(error => error.reason.length > 0)).toBe(true)
    })
  }
})

/** Most of a minute for all; `ENVOY_VERDICTS=all` when the recording or Envoy is another. */
const recheckEach = process.env['ENVOY_VERDICTS'] === 'all' ? 1 : 8
const AT_ONCE = 3

describe.skipIf(!process.env['ENVOY_BIN'])('the recorded verdicts', () => {
  it('are those of ENVOY_BIN', { timeout: 300_000 }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'outrigger-verdicts-'))
    const wrong: string[] = []
    const waiting = cases.filter((_, index) => index % recheckEach === 0)
    const check = async (): Promise<void> => {
      for (let test = waiting.pop(); test !== undefined; test = waiting.pop()) {
        const file = join(dir, `${test.name}.json`)
        writeFileSync(file, JSON.stringify(build(test)))
        const ok = await run(process.env['ENVOY_BIN']!, ['--mode', 'validate', '-c', file, '-l', 'critical']).then(
          () => true,
          () => false,
        )
        if (ok !== test.envoy) wrong.push(test.name)
      }
    }
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, check))
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
    expect(wrong).toEqual([])
  })
})
