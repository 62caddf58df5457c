// `/v1/agent` as far as it is about this process and its machine: host, version, reload, log and metrics as streams, members, and joining
// or leaving a cluster, which a single server can only decline.
import { arch, cpus, freemem, hostname, platform, release, totalmem, uptime } from 'node:os'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { CONSUL_VERSION } from '../consul-version.js'
import type { LogLevel, LogLine } from '../log-feed.js'
import { agentMetrics } from './agent-metrics.js'
import type { ApiContext } from './context.js'
import { compileRequestFilter } from './request-filter.js'
import { flag, HttpError, param, query } from './respond.js'
import { memberShape } from './shapes.js'

/** Watchers of the log or the metrics at the same time. */
const MAX_STREAMS = 64
/** Bytes that a watcher may be behind before it is let go. */
const MAX_STREAM_BACKLOG_BYTES = 1 << 20
const METRICS_INTERVAL_MS = 10_000
const LEVELS: Readonly<Record<string, LogLevel>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  err: 'error',
  error: 'error',
}

export function agentProcessRoutes(app: FastifyInstance, context: ApiContext): void {
  const { node } = context
  let streams = 0

  app.get('/v1/agent/host', async () => hostShape())
  app.get('/v1/agent/version', async () => ({
    SHA: '',
    BuildDate: '1970-01-01T00:00:01Z',
    HumanVersion: CONSUL_VERSION,
    FIPS: '',
    Outrigger: context.version,
  }))
  app.get('/v1/agent/members', async request => {
    const wan = flag(request, 'wan')
    return [memberShape(node, wan, context.grpc())].filter(compileRequestFilter(request, 'member'))
  })

  app.put('/v1/agent/reload', async (_request, reply) => {
    const problem = await context.reload()
    if (problem !== undefined) throw new HttpError(500, problem)
    return reply.send()
  })
  app.put('/v1/agent/join/:address', async request => {
    throw new HttpError(500, `cannot join ${param(request, 'address')}: this control plane is a single server`)
  })
  app.put('/v1/agent/leave', async (_request, reply) => {
    if (context.leave === undefined) throw new HttpError(500, 'this control plane is part of another program, which alone ends it')
    void reply.send()
    // Once the answer is on its way.
    setImmediate(context.leave)
    return reply
  })
  app.put('/v1/agent/force-leave/:node', async request => {
    const name = param(request, 'node')
    if (name === node.name) throw new HttpError(500, 'this is the only server: it cannot be made to leave')
    throw new HttpError(500, `agent: No node found with name '${name}'`)
  })

  app.get('/v1/agent/monitor', (request, reply) => {
    const level = LEVELS[(query(request, 'loglevel') ?? 'info').toLowerCase()]
    if (level === undefined) throw new HttpError(400, `Unknown log level: ${query(request, 'loglevel')}`)
    const print = flag(request, 'logjson') ? jsonLine : textLine
    return stream(reply, 'text/plain; charset=utf-8', write => context.logs.watch(level, line => write(print(line))))
  })

  app.get('/v1/agent/metrics/stream', (_request, reply) =>
    stream(reply, 'application/json', write => {
      const send = (): void => void agentMetrics(context).then(metrics => write(`${JSON.stringify(metrics)}\n`))
      send()
      const timer = setInterval(send, METRICS_INTERVAL_MS)
      return () => clearInterval(timer)
    }),
  )

  /** An answer that goes on until the client goes, or falls too far behind. */
  function stream(reply: FastifyReply, type: string, start: (write: (text: string) => void) => () => void): FastifyReply {
    if (streams >= MAX_STREAMS) throw new HttpError(429, `too many streams (limit ${MAX_STREAMS})`)
    streams++
    const { raw } = reply.hijack()
    // The head goes out at once: a client waits for it before it reads lines that may be long in coming.
    raw.writeHead(200, { 'content-type': type })
    raw.flushHeaders()
    const end = start(text => {
      if (raw.destroyed || raw.writableEnded) return
      raw.write(text)
      if (raw.writableLength > MAX_STREAM_BACKLOG_BYTES) raw.destroy()
    })
    raw.once('error', () => raw.destroy())
    raw.once('close', () => {
      streams--
      end()
    })
    return reply
  }
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
