import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { compileAccessLog, compileAccessLogFilter, compileBodyFormat } from '../../../src/l7/log/access-log.js'
import { ResponseFlag } from '../../../src/l7/stream/response-flags.js'
import type { AccessLog, AccessLogFilter, LogFormat } from '../../../src/model/access-log.js'
import { head, info } from '../request-fixtures.js'

const logger = (format: Partial<LogFormat> = {}, filter: AccessLogFilter | null = null): AccessLog => ({
  name: 'log',
  sink: { kind: 'stdout' },
  format: { text: null, json: null, omitEmptyValues: false, ...format },
  filter,
})

function finished(code = 200) {
  const made = info(
    head('/x', {}, [
      ['user-agent', 'curl'],
      ['x-request-id', 'id-1'],
    ]),
  )
  made.responseCode = code
  made.bytesSent = 5
  made.endedAt = made.startedAt + 12
  return made
}

it('writes Envoy’s default line', () => {
  expect(compileAccessLog(logger()).format(finished())).toBe(
    '[2024-02-29T13:04:05.067Z] "GET /x HTTP/1.1" 200 - 0 5 12 - "-" "curl" "id-1" "api.example.com" "-"\n',
  )
})

it('writes Consul’s JSON on one line', () => {
  const line = compileAccessLog(
    logger({ json: { start_time: '%START_TIME%', response_code: '%RESPONSE_CODE%', upstream_host: '%UPSTREAM_HOST%' } }),
  ).format(finished())
  expect(line).toBe('{"start_time":"2024-02-29T13:04:05.067Z","response_code":200,"upstream_host":null}\n')
})

it('writes a text format as given, newline and all', () => {
  expect(compileAccessLog(logger({ text: '%RESPONSE_CODE%' })).format(finished())).toBe('200')
  expect(compileAccessLog(logger({ text: '%REQ(none)%|\n', omitEmptyValues: true })).format(finished())).toBe('|\n')
})

it('writes local reply bodies', () => {
  expect(compileBodyFormat({ text: null, json: { code: '%RESPONSE_CODE%' }, omitEmptyValues: false })(finished(503))).toBe('{"code":503}\n')
})

describe('filters', () => {
  const passes = (filter: AccessLogFilter, of = finished()) => compileAccessLog(logger({}, filter)).shouldLog(of)

  it('compare codes and durations', () => {
    expect(passes({ kind: 'statusCode', op: 'GE', value: 400, runtimeKey: '' }, finished(404))).toBe(true)
    expect(passes({ kind: 'statusCode', op: 'GE', value: 400, runtimeKey: '' })).toBe(false)
    expect(passes({ kind: 'statusCode', op: 'NE', value: 200, runtimeKey: '' })).toBe(false)
    expect(passes({ kind: 'duration', op: 'LE', value: 12, runtimeKey: '' })).toBe(true)
    expect(passes({ kind: 'duration', op: 'EQ', value: 13, runtimeKey: '' })).toBe(false)
  })

  it('take the bound of a comparison from the runtime, where that is a whole number', () => {
    const runtime = new Map<string, number | boolean>()
    const filter: AccessLogFilter = { kind: 'statusCode', op: 'GE', value: 400, runtimeKey: 'log.from' }
    const log = compileAccessLog(logger({}, filter), { runtime, random: () => 0 })
    const logged = () => log.shouldLog(finished(404))
    expect(logged()).toBe(true)
    runtime.set('log.from', 500)
    expect(logged()).toBe(false)
    runtime.set('log.from', true)
    expect(logged()).toBe(true)
  })

  it('look at response flags, none named meaning any', () => {
    const flagged = finished(404)
    flagged.responseFlags = ResponseFlag.NoRouteFound
    expect(passes({ kind: 'responseFlag', flags: ['NR', 'UH'] }, flagged)).toBe(true)
    expect(passes({ kind: 'responseFlag', flags: ['UH'] }, flagged)).toBe(false)
    expect(passes({ kind: 'responseFlag', flags: [] }, flagged)).toBe(true)
    expect(passes({ kind: 'responseFlag', flags: [] })).toBe(false)
  })

  it('combine', () => {
    const yes: AccessLogFilter = { kind: 'statusCode', op: 'EQ', value: 200, runtimeKey: '' }
    const no: AccessLogFilter = { kind: 'statusCode', op: 'EQ', value: 1, runtimeKey: '' }
    expect([passes({ kind: 'and', filters: [yes, no] }), passes({ kind: 'or', filters: [no, yes] })]).toEqual([false, true])
  })

  it('look at headers, metadata, gRPC statuses and chance', () => {
    expect(
      passes({
        kind: 'header',
        header: { name: 'user-agent', match: { kind: 'present', present: true }, invert: false, treatMissingAsEmpty: false },
      }),
    ).toBe(true)
    const matcher = { namespace: 'n', path: ['k'], value: { kind: 'bool', value: true }, invert: false } as const
    expect([
      passes({ kind: 'metadata', matcher, matchIfMissing: true }),
      passes({ kind: 'metadata', matcher, matchIfMissing: false }),
    ]).toEqual([true, false])
    const grpc = finished()
    grpc.responseTrailers = HeaderList.of(['grpc-status', '14'])
    expect([
      passes({ kind: 'grpcStatus', statuses: [14], exclude: false }, grpc),
      passes({ kind: 'grpcStatus', statuses: [14], exclude: true }, grpc),
    ]).toEqual([true, false])
    expect(passes({ kind: 'grpcStatus', statuses: [12], exclude: false }, finished(404))).toBe(true)
    // 200 says nothing of gRPC: Unknown.
    expect([0, 2].map(status => passes({ kind: 'grpcStatus', statuses: [status], exclude: false }, finished(200)))).toEqual([false, true])
    const logType = (type: string, exclude: boolean) => passes({ kind: 'logType', types: [type], exclude })
    expect([logType('DownstreamEnd', false), logType('DownstreamEnd', true), logType('TcpConnectionEnd', false)]).toEqual([
      true,
      false,
      false,
    ])
    const chance: AccessLogFilter = { kind: 'runtime', fraction: { numerator: 50, denominator: 100, runtimeKey: 'k' } }
    const withRandom = (random: number) =>
      compileAccessLogFilter(chance, { runtime: { get: () => undefined }, random: () => random })(finished())
    expect([withRandom(0.4), withRandom(0.6)]).toEqual([true, false])
  })
})
