// Envoy's command line, without a process.
import { describe, expect, it } from 'vitest'
import { parseProxyFlags } from '../../src/cli/proxy-flags.js'

describe('flags', () => {
  it.each([
    [[], 1],
    [['--concurrency', '4'], 4],
    [['--concurrency=0'], 0],
    [['--concurrency', 'auto'], 0],
  ])('%j: so many processes serve (0: one a core)', (argv, concurrency) => {
    const flags = parseProxyFlags(argv)
    expect(flags.errors).toEqual([])
    expect(flags.concurrency).toBe(concurrency)
  })

  it.each([
    [['--stats-tag', 'a_b:c'], /--stats-tag: 'a_b'/],
    [['--stats-tag', 'a:b.c'], /--stats-tag: .*dot/],
    [['--stats-tag', 'ab'], /not tag:value/],
    [['--nosuch'], /--nosuch: there is no such flag/],
    [['--nosuch=1'], /--nosuch: there is no such flag/],
    [['--nosuch', 'value'], /^--nosuch: there is no such flag$/],
    [['--nosuch 1'], /^--nosuch: there is no such flag$/],
    [['--disable-hot-restart true'], /--disable-hot-restart: there is no such flag/],
    [['--concurrency 1 2'], /--concurrency: '1 2'/],
    [['stray'], /unexpected argument 'stray'/],
    [['--concurrency', 'x'], /--concurrency: 'x'/],
    [['--concurrency', '4294967296'], /--concurrency/],
    [['--concurrency', '257'], /--concurrency: at most 256 processes serve/],
    [['--mode', 'nosuch'], /--mode: 'nosuch' is none of serve, validate, init_only/],
    [['--component-log-level', 'nosuch:debug'], /no component 'nosuch'/],
    [['--component-log-level', 'upstream:nosuch'], /'nosuch' is none of/],
    [['--component-log-level', 'upstream'], /not component:level/],
    [['-l', 'loud'], /--log-level: 'loud'/],
    [['--drain-strategy', 'x'], /--drain-strategy/],
    [['--local-address-ip-version', 'v5'], /--local-address-ip-version/],
    [['--service-node', 'a', '--service-node', 'b'], /--service-node is given twice/],
    [['--config-path'], /--config-path needs a value/],
  ])('%j is an error', (argv, reason) => {
    const { errors } = parseProxyFlags(argv)
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatch(reason)
  })

  it('takes a value after a space in the flag’s own argument, as Envoy’s reader does and consul-dataplane writes it', () => {
    const flags = parseProxyFlags(['--drain-time-s 30', '-l debug', '--drain-strategy immediate', '--config-path /tmp/a b.yaml'])
    expect(flags).toMatchObject({ errors: [], drainTimeS: 30, logLevel: 'debug', drainStrategy: 'immediate', configPath: '/tmp/a b.yaml' })
  })

  it('every problem is said', () => {
    expect(parseProxyFlags(['--nosuch', '--mode', 'x', '--drain-time-s', 'soon']).errors).toHaveLength(3)
  })

  it('does what Envoy does with each', () => {
    const flags = parseProxyFlags([
      ...['-c', 'a.yaml', '--config-yaml={}', '-l', 'warn', '--component-log-level', 'upstream:debug,config:trace', '--mode', 'init_only'],
      ...['--stats-tag', 'a:1', '--stats-tag', 'b:x:y', '--service-zone', 'z', '--base-id-path', 'f', '--reject-unknown-dynamic-fields'],
      ...['--allow-unknown-fields', '--log-format', '[%l] %v', '--shutdown-grace-s', '7', '--', 'ignored', '--nosuch'],
    ])
    expect(flags).toMatchObject({
      errors: [],
      warnings: [],
      configPath: 'a.yaml',
      configYaml: '{}',
      logLevel: 'warning',
      mode: 'init_only',
      serviceZone: 'z',
      baseIdPath: 'f',
      allowUnknownStaticFields: true,
      unknownDynamicFields: 'refuse',
      logFormat: '[%l] %v',
      shutdownGraceS: 7,
      statsTags: [
        { name: 'a', value: '1' },
        { name: 'b', value: 'x:y' },
      ],
    })
    expect([...flags.componentLevels]).toEqual([
      ['upstream', 'debug'],
      ['config', 'trace'],
    ])
  })

  it('those of Envoy that mean nothing here are named in one warning', () => {
    const { warnings, errors } = parseProxyFlags([
      ...['--cpuset-threads', '--enable-mutex-tracing', '--enable-core-dump'],
      ...['--disable-hot-restart', '--base-id', '3', '--skip-deprecated-logs'],
    ])
    expect(errors).toEqual([])
    expect(warnings).toEqual(['flags without a meaning here: --enable-mutex-tracing, --enable-core-dump, --cpuset-threads'])
  })
})
