import vm from 'node:vm'
import { describe, expect, test, vi } from 'vitest'
import { compileTagRegex, type TagRegex } from '../../src/metrics/tag-regex.js'
import { BAD_TAG_REGEXES, GOOD_TAG_REGEXES } from '../support/tag-regexes.js'
import { consulTags } from './consul-tags.js'

function compiled(pattern: string, onSlow?: () => void): TagRegex {
  const regex = compileTagRegex(pattern, onSlow)
  if (typeof regex === 'string') throw new Error(regex)
  return regex
}

const captured = (pattern: string, name: string) => compiled(pattern).exec(name)?.slice(1) ?? null

describe('what std::regex takes', () => {
  test.each(GOOD_TAG_REGEXES)('%s', pattern => {
    expect(typeof compileTagRegex(pattern)).toBe('object')
  })

  test.each(BAD_TAG_REGEXES)('refuses %s', pattern => {
    expect(compileTagRegex(pattern)).toEqual(expect.any(String))
  })
})

describe('what they capture', () => {
  test.each([
    ['^kafka\\..*\\.(.*?(?=_duration|$))', 'kafka.broker.request.fetch_duration', ['fetch']],
    ['^kafka\\..*\\.(.*?(?=_duration|$))', 'kafka.broker.request.fetch', ['fetch']],
    ['(.)\\1', 'abccd', ['c']],
    ['((.+?)\\.)rbac\\.', 'connect_authz.rbac.allowed', ['connect_authz.', 'connect_authz']],
    ['^http\\.(((?:[_.[:digit:]]*|[[:xdigit:]]*))\\.)', 'http.10.0.0.1_80.x', ['10.0.0.1_80.', '10.0.0.1_80']],
    ['([^[:alpha:]]+)', 'ab12', ['12']],
    ['([a\\-z]+)', 'b-a', ['-a']],
    ['(\\-|\\_)', 'a_b', ['_']],
    ['(a)?(b)', 'b', [undefined, 'b']],
    ['[[.-.]](b)', '-b', ['b']],
    ['^a|(b)$', 'cb', ['b']],
  ])('%s of %s', (pattern, name, groups) => {
    expect(captured(pattern, name)).toEqual(groups)
  })
})

describe('time', () => {
  const NAME = `${'a'.repeat(40)}!`

  test.each(['^(a+)+$', '^((a|a)*)$', '^(?:(a*)*)*$', '(a*)(a*)(a*)(a*)(a*)(a*)(a*)(a*)\\1b$', '^(?=(a+)+$)(.)'])(
    '%s is stopped once, and never asked again',
    pattern => {
      const onSlow = vi.fn()
      const regex = compiled(pattern, onSlow)
      expect(regex.exec(NAME)).toBe(null)
      expect(regex.exec('a')).toBe(null)
      expect(onSlow).toHaveBeenCalledTimes(1)
    },
  )

  test('a pattern that could run away is asked as long as it does not', () => {
    const onSlow = vi.fn()
    const regex = compiled('^((?:[a-z]+_?)+)\\.', onSlow)
    expect(regex.exec('kafka_broker.x')?.[1]).toBe('kafka_broker')
    expect(regex.exec('kafka.x')?.[1]).toBe('kafka')
    expect(onSlow).not.toHaveBeenCalled()
  })

  test("Consul's patterns need no watchdog for names of usual length", () => {
    const runInContext = vi.spyOn(vm.Script.prototype, 'runInContext')
    const name = 'cluster.passthrough~v1.api.default.part.dc2.internal-v1.11111111-2222-3333-4444-555555555555.consul.upstream_rq_5xx'
    for (const { regex } of consulTags('web')) if (regex !== null) compiled(regex).exec(name)
    expect(runInContext).not.toHaveBeenCalled()
    runInContext.mockRestore()
  })
})
