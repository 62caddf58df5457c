import { describe, expect, it } from 'vitest'
import type { AdminLogging } from '../../../src/proxy/admin/admin-options.js'
import { activeLoggers, changeLogLevels } from '../../../src/proxy/admin/logging-page.js'

function loggers(): AdminLogging & { readonly known: Map<string, string> } {
  const known = new Map([
    ['http', 'info'],
    ['upstream', 'info'],
  ])
  return {
    known,
    levelNames: ['debug', 'info'],
    levels: () => known,
    setLevels: changes => {
      for (const [name, level] of changes) {
        if (!known.has(name)) return 'unknown logger name'
        if (!['info', 'debug'].includes(level)) return 'unknown logger level'
      }
      for (const [name, level] of changes) known.set(name, level)
      return null
    },
  }
}

describe('/logging', () => {
  it.each([
    ['', null, ['info', 'info']],
    ['level=debug', null, ['debug', 'debug']],
    ['upstream=debug', null, ['info', 'debug']],
    ['paths=http:debug,upstream:debug', null, ['debug', 'debug']],
    ['paths=', null, ['info', 'info']],
    ['paths=http:debug,', null, ['debug', 'info']],
    ['upstream=', null, ['info', 'info']],
    ['http=debug&http=info', null, ['debug', 'info']],
    ['group=http:debug', 'group parameter requires fine-grain logging to be enabled', ['info', 'info']],
    ['level=nosuch', 'unknown logger level', ['info', 'info']],
    ['nosuch=debug', 'unknown logger name', ['info', 'info']],
    ['__proto__=debug', 'unknown logger name', ['info', 'info']],
    ['paths=http:debug,nosuch:debug', 'unknown logger name', ['info', 'info']],
    ['paths=http', 'empty logger name or empty logger level', ['info', 'info']],
    ['paths=http:', 'empty logger name or empty logger level', ['info', 'info']],
    ['paths=http:debug:x', 'unknown logger level', ['info', 'info']],
    ['a=b&c=d', 'invalid number of parameters', ['info', 'info']],
  ])('?%s', (query, refused, levels) => {
    const logging = loggers()
    expect(changeLogLevels(new URLSearchParams(query), logging)).toBe(refused)
    expect([...logging.known.values()]).toEqual(levels)
  })

  it('lists every logger with its level', () => {
    expect(activeLoggers(loggers())).toBe('active loggers:\n  http: info\n  upstream: info\n\n')
  })
})
