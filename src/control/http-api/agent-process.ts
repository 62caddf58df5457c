// `/v1/agent` as far as it is about this process and its machine: host, version, reload, leaving, the log as a stream. Served by the control
// plane and by the agents of other machines.
import { arch, cpus, freemem, hostname, platform, release, totalmem, uptime } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { CONSUL_VERSION } from '../consul-version.js'
import type { LogLevel, LogLine } from '../log-feed.js'
import type { LocalContext } from './context.js'
import { flag, HttpError, query } from './respond.js'
import type { StreamedAnswers } from './streamed-answers.js'

const LEVELS: Readonly<Record<string, LogLevel>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  err: 'error',
  error: 'error',
}

export function agentProcessRoutes(app: FastifyInstance, context: LocalContext, streams: StreamedAnswers): void {
  app.get('/v1/agent/host', async () => hostShape())
  app.get('/v1/agent/version', async () => ({
    SHA: '',
    BuildDate: '1970-01-01T00:00:01Z',
    HumanVersion: CONSUL_VERSION,
    FIPS: '',
    Outrigger: context.version,
  }))

  app.put('/v1/agent/reload', async (_request, reply) => {
    const problem = await context.reload()
    if (problem !== undefined) throw new HttpError(500, problem)
    return reply.send()
  })
  app.put('/v1/agent/leave', async (_request, reply) => {
    if (context.leave === undefined) throw new HttpError(500, 'this agent is part of another program, which alone ends it')
    void reply.send()
    // Once the answer is on its way.
    setImmediate(context.leave)
    return reply
  })

  app.get('/v1/agent/monitor', (request, reply) => {
    const level = LEVELS[(query(request, 'loglevel') ?? 'info').toLowerCase()]
    if (level === undefined) throw new HttpError(400, `Unknown log level: ${query(request, 'loglevel')}`)
    const print = flag(request, 'logjson') ? jsonLine : textLine
    return streams.stream(reply, 'text/plain; charset=utf-8', write => context.logs.watch(level, line => write(print(line))))
  })
}

function textLine({ level, at, fields, message }: LogLine): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const name = `[${level.toUpperCase()}]`.padEnd(8)
  return `${at.toISOString()} ${name}${message}${pairs.length === 0 ? '' : `:${pairs.join('')}`}\n`
}

function jsonLine({ level, at, fields, message }: LogLine): string {
  return `${JSON.stringify({ '@level': level, '@message': message, '@timestamp': at.toISOString(), ...fields })}\n`
}

function hostShape(): object {
  const total = totalmem()
  const free = freemem()
  return {
    Memory: { total, available: free, used: total - free, usedPercent: ((total - free) / total) * 100, free },
    CPU: cpus().map(({ model, speed }, cpu) => ({ cpu, vendorId: '', modelName: model, mhz: speed, cores: 1, flags: [] })),
    Host: {
      hostname: hostname(),
      uptime: Math.floor(uptime()),
      bootTime: Math.floor(Date.now() / 1_000 - uptime()),
      os: platform(),
      kernelVersion: release(),
      kernelArch: arch(),
    },
    Disk: null,
    CollectionTime: Date.now() * 1e6,
    Errors: null,
  }
}
