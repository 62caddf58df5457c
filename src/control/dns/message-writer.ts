// Writes one DNS response into a buffer of its own: names compressed (RFC 1035, 4.1.4), cut at a size. Used by `dns-server.ts` for every
// answer; `dns-packet` reads the questions, but writes names in full, which halves what fits into a UDP answer.
// Invariant: what is written is a whole message: a record that does not fit is taken back to its first byte.
// HOT: written for every answer.

export const TYPE = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, OPT: 41, ANY: 255 } as const
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const

/** Names without the dot at the end. */
export type DnsRecord =
  | { readonly type: typeof TYPE.A | typeof TYPE.AAAA; readonly name: string; readonly ttl: number; readonly address: Buffer }
  | {
      readonly type: typeof TYPE.CNAME | typeof TYPE.NS | typeof TYPE.PTR
      readonly name: string
      readonly ttl: number
      readonly target: string
    }
  | {
      readonly type: typeof TYPE.SRV
      readonly name: string
      readonly ttl: number
      readonly weight: number
      readonly port: number
      readonly target: string
    }
  | { readonly type: typeof TYPE.TXT; readonly name: string; readonly ttl: number; readonly text: string }
  | {
      readonly type: typeof TYPE.SOA
      readonly name: string
      readonly ttl: number
      readonly mname: string
      readonly rname: string
      readonly serial: number
      readonly minimum: number
    }

const CLASS_IN = 1
const HEADER_BYTES = 12
const OPT_BYTES = 11
/** Offsets that a compression pointer can name. */
const MAX_POINTER = 0x3fff
const POINTER = 0xc000
const DOT = 0x2e
const SRV_PRIORITY = 1
const SOA_REFRESH_SECONDS = 3_600
const SOA_RETRY_SECONDS = 600
const SOA_EXPIRE_SECONDS = 86_400
/** Labels of one name, and bytes of a label (RFC 1035, 2.3.4). */
const MAX_LABEL_BYTES = 63
const MAX_TXT_BYTES = 255

export class MessageWriter {
  private readonly buffer = Buffer.alloc(65_535)
  /** The question's name, a byte a character: where its parts are written need not be remembered. */
  private question = ''
  /** Where the other names of the message are written. */
  private readonly offsets = new Map<string, number>()
  private at = 0
  private limit = 0
  private flags = 0
  private hasOpt = false
  private readonly counts = [0, 0, 0]

  /**
   * Begins an answer of at most `limit` bytes; `question` is the question section's bytes as asked, `name` its name in lower case.
   * `hasOpt`: the client speaks EDNS, so room is kept for our OPT record.
   */
  begin(id: number, flags: number, question: Buffer, name: string, limit: number, hasOpt: boolean): void {
    const { buffer } = this
    this.flags = flags
    this.limit = limit - (hasOpt ? OPT_BYTES : 0)
    this.hasOpt = hasOpt
    this.counts.fill(0)
    if (this.offsets.size > 0) this.offsets.clear()
    this.question = question.length > 0 ? name : ''
    buffer.writeUInt16BE(id, 0)
    buffer.writeUInt16BE(question.length === 0 ? 0 : 1, 4)
    question.copy(buffer, HEADER_BYTES)
    this.at = HEADER_BYTES + question.length
  }

  /** Adds a record to the answer (0), authority (1) or additional (2) section, in this order of sections. False: it does not fit. */
  add(section: 0 | 1 | 2, record: DnsRecord): boolean {
    const start = this.at
    if (this.write(record) && this.at <= this.limit) {
      this.counts[section]!++
      return true
    }
    this.at = start
    for (const [name, offset] of this.offsets) if (offset >= start) this.offsets.delete(name)
    return false
  }

  /** The message; valid until the next `begin`. `udpBytes`: what our OPT record says we take. */
  end(rcode: number, truncated: boolean, udpBytes: number): Buffer {
    const { buffer, counts } = this
    buffer.writeUInt16BE((this.flags & ~0x020f) | (truncated ? 0x0200 : 0) | (rcode & 0x0f), 2)
    buffer.writeUInt16BE(counts[0]!, 6)
    buffer.writeUInt16BE(counts[1]!, 8)
    buffer.writeUInt16BE(counts[2]! + (this.hasOpt ? 1 : 0), 10)
    if (this.hasOpt) {
      buffer.writeUInt8(0, this.at)
      buffer.writeUInt16BE(TYPE.OPT, this.at + 1)
      buffer.writeUInt16BE(udpBytes, this.at + 3)
      buffer.writeUInt32BE((rcode >> 4) << 24, this.at + 5)
      buffer.writeUInt16BE(0, this.at + 9)
      this.at += OPT_BYTES
    }
    return buffer.subarray(0, this.at)
  }

  private write(record: DnsRecord): boolean {
    const { buffer } = this
    // The longest record but for its names: a TXT. 600 bytes more than the limit never leave the buffer's end.
    if (this.at + 600 > buffer.length || !this.writeName(record.name, true)) return false
    buffer.writeUInt16BE(record.type, this.at)
    buffer.writeUInt16BE(CLASS_IN, this.at + 2)
    buffer.writeUInt32BE(record.ttl, this.at + 4)
    const lengthAt = this.at + 8
    this.at += 10
    switch (record.type) {
      case TYPE.A:
      case TYPE.AAAA:
        record.address.copy(buffer, this.at)
        this.at += record.address.length
        break
      case TYPE.CNAME:
      case TYPE.NS:
      case TYPE.PTR:
        if (!this.writeName(record.target, true)) return false
        break
      case TYPE.SRV:
        buffer.writeUInt16BE(SRV_PRIORITY, this.at)
        buffer.writeUInt16BE(record.weight, this.at + 2)
        buffer.writeUInt16BE(record.port, this.at + 4)
        this.at += 6
        // RFC 2782: the target is not compressed.
        if (!this.writeName(record.target, false)) return false
        break
      case TYPE.TXT: {
        const text = Buffer.from(record.text).subarray(0, MAX_TXT_BYTES)
        buffer.writeUInt8(text.length, this.at)
        text.copy(buffer, this.at + 1)
        this.at += 1 + text.length
        break
      }
      case TYPE.SOA:
        if (!this.writeName(record.mname, true) || !this.writeName(record.rname, true)) return false
        for (const value of [record.serial, SOA_REFRESH_SECONDS, SOA_RETRY_SECONDS, SOA_EXPIRE_SECONDS, record.minimum])
          this.at = buffer.writeUInt32BE(value, this.at)
        break
      default: {
        const never: never = record
        return never
      }
    }
    buffer.writeUInt16BE(this.at - lengthAt - 2, lengthAt)
    return true
  }

  /** False: it is no name that DNS can carry. */
  private writeName(name: string, compress: boolean): boolean {
    const { buffer } = this
    let rest = name
    for (;;) {
      if (rest === '') {
        buffer.writeUInt8(0, this.at++)
        return true
      }
      const known = compress ? this.offsetOf(rest) : undefined
      if (known !== undefined) {
        this.at = buffer.writeUInt16BE(POINTER | known, this.at)
        return true
      }
      if (this.at <= MAX_POINTER && !this.offsets.has(rest)) this.offsets.set(rest, this.at)
      const dot = rest.indexOf('.')
      const label = dot < 0 ? rest : rest.slice(0, dot)
      const bytes = buffer.write(label, this.at + 1)
      if (bytes === 0 || bytes > MAX_LABEL_BYTES) return false
      buffer.writeUInt8(bytes, this.at)
      this.at += 1 + bytes
      rest = dot < 0 ? '' : rest.slice(dot + 1)
    }
  }

  /** Where a name is already written, by itself or as the end of the question's. */
  private offsetOf(name: string): number | undefined {
    const { question } = this
    const start = question.length - name.length
    if (start >= 0 && question.endsWith(name) && (start === 0 || question.charCodeAt(start - 1) === DOT)) return HEADER_BYTES + start
    return this.offsets.get(name)
  }
}
