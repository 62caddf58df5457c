// Our own certificates that have expired or are near their end without a successor: said in the log when it begins and when it is over, in
// /ready's detail, and by the gauge `server.own_certificates_ending`. Made by Server, which asks it at each stats flush. Invariant: one line for
// each change of each certificate, however many contexts use it.

import type { OwnEnding } from '../mtls/tls/own-ending.js'

type Say = (level: 'info' | 'warn' | 'error', message: string) => void

export class CertificateWatch {
  private readonly endings: () => readonly OwnEnding[]
  private readonly say: Say
  /** What was said of each, by its fingerprint. */
  private said = new Map<string, OwnEnding>()

  constructor(endings: () => readonly OwnEnding[], say: Say) {
    this.endings = endings
    this.say = say
  }

  /** How many there are. */
  check(): number {
    const now = new Map(this.endings().map(ending => [ending.sha256, ending]))
    for (const [sha256, ending] of now) {
      const before = this.said.get(sha256)
      if (before === undefined || before.expired !== ending.expired) this.say(ending.expired ? 'error' : 'warn', describe(ending))
    }
    for (const [sha256, { name }] of this.said)
      if (!now.has(sha256)) this.say('info', `our own certificate ${name} has been replaced, or is not used any more`)
    this.said = now
    return now.size
  }

  warnings(): string[] {
    return [...new Set(this.endings().map(describe))]
  }
}

function describe({ name, path, notAfterMs, expired }: OwnEnding): string {
  const when = new Date(notAfterMs).toISOString().replace('.000', '')
  if (expired) return `our own certificate ${name} (${path}) has expired at ${when}, and no successor has come: peers refuse it`
  return `our own certificate ${name} (${path}) ends at ${when}, and no successor has come`
}
