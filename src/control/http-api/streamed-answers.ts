// Answers that go on for as long as their client listens: the log, the metrics. One for each HTTP server, used by agent-process.ts and
// agent-self.ts. Invariant: their number, and what each may be behind, are bounded.
import type { FastifyReply } from 'fastify'
import { HttpError } from './respond.js'

/** At the same time. */
const MAX_STREAMS = 64
/** Bytes that a watcher may be behind before it is let go. */
const MAX_BACKLOG_BYTES = 1 << 20

export class StreamedAnswers {
  private open = 0

  /** Goes on until the client goes, or falls too far behind. `start` returns the way out. */
  stream(reply: FastifyReply, type: string, start: (write: (text: string) => void) => () => void): FastifyReply {
    if (this.open >= MAX_STREAMS) throw new HttpError(429, `too many streams (limit ${MAX_STREAMS})`)
    this.open++
    const { raw } = reply.hijack()
    // The head goes out at once: a client waits for it before it reads lines that may be long in coming.
    raw.writeHead(200, { 'content-type': type })
    raw.flushHeaders()
    const end = start(text => {
      if (raw.destroyed || raw.writableEnded) return
      raw.write(text)
      if (raw.writableLength > MAX_BACKLOG_BYTES) raw.destroy()
    })
    raw.once('error', () => raw.destroy())
    raw.once('close', () => {
      this.open--
      end()
    })
    return reply
  }
}
