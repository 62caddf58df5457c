// Reads the head and the one question of a DNS query, and what the client says by EDNS (RFC 6891). Pure; used by `dns-server.ts`.
// Invariant: the name it gives is the question's bytes, label by label: a label that no dotted text can carry makes the query unreadable.
import { decodeDnsMessage } from '../../io/dns-message.js'
import { RCODE } from './message-writer.js'

export interface DnsQuery {
  readonly id: number
  /** The head's flags as they came. */
  readonly flags: number
  /** In lower case, without the dot at the end. */
  readonly name: string
  readonly type: number
  /** The question section's bytes, to be repeated in the answer. */
  readonly question: Buffer
  /** UDP payload that the client takes; 0 when it speaks no EDNS. */
  readonly ednsBytes: number
}

export type ReadQuery =
  | { readonly ok: true; readonly query: DnsQuery }
  /** Answered with this code and no question. */
  | { readonly ok: false; readonly rcode: number; readonly id: number; readonly flags: number }
  /** No query at all: not answered, so that two servers never talk to each other for ever. */
  | undefined

const HEADER_BYTES = 12
const RESPONSE = 0x8000
const OPCODE = 0x7800
const MAX_NAME_BYTES = 255
const CLASS_IN = 1
const CLASS_ANY = 255
const DOT = 0x2e
const UPPER_A = 0x41
const UPPER_Z = 0x5a
const LOWER = 0x20
/** The name while it is read, in lower case, its labels with dots between them. */
const NAME = Buffer.alloc(2 * MAX_NAME_BYTES)

export function readQuery(bytes: Buffer): ReadQuery {
  if (bytes.length < HEADER_BYTES) return undefined
  const id = bytes.readUInt16BE(0)
  const flags = bytes.readUInt16BE(2)
  if ((flags & RESPONSE) !== 0) return undefined
  const refuse = (rcode: number): ReadQuery => ({ ok: false, rcode, id, flags })
  if ((flags & OPCODE) !== 0) return refuse(RCODE.NOTIMP)
  if (bytes.readUInt16BE(4) !== 1) return refuse(RCODE.FORMERR)
  let nameBytes = 0
  let at = HEADER_BYTES
  for (;;) {
    const length = bytes[at]
    // A pointer makes no sense in the first name of a message.
    if (length === undefined || length > 63 || at - HEADER_BYTES > MAX_NAME_BYTES) return refuse(RCODE.FORMERR)
    at++
    if (length === 0) break
    if (at + length > bytes.length) return refuse(RCODE.FORMERR)
    if (nameBytes > 0) NAME[nameBytes++] = DOT
    for (const end = at + length; at < end; at++) {
      const byte = bytes[at]!
      if (byte === DOT) return refuse(RCODE.FORMERR)
      NAME[nameBytes++] = byte >= UPPER_A && byte <= UPPER_Z ? byte | LOWER : byte
    }
  }
  if (at + 4 > bytes.length) return refuse(RCODE.FORMERR)
  const type = bytes.readUInt16BE(at)
  const queryClass = bytes.readUInt16BE(at + 2)
  at += 4
  if (queryClass !== CLASS_IN && queryClass !== CLASS_ANY) return refuse(RCODE.REFUSED)
  const edns = readEdns(bytes)
  if (edns === undefined) return refuse(RCODE.FORMERR)
  if (edns.version !== 0) return refuse(RCODE.BADVERS)
  const question = bytes.subarray(HEADER_BYTES, at)
  return { ok: true, query: { id, flags, name: NAME.latin1Slice(0, nameBytes), type, question, ednsBytes: edns.bytes } }
}

function readEdns(bytes: Buffer): { readonly bytes: number; readonly version: number } | undefined {
  if (bytes.readUInt16BE(10) === 0) return { bytes: 0, version: 0 }
  const message = decodeDnsMessage(bytes)
  const opts = message?.additionals?.filter(record => record.type === 'OPT') ?? []
  if (message === undefined || opts.length > 1) return undefined
  const opt = opts[0] as { readonly udpPayloadSize: number; readonly ednsVersion: number } | undefined
  return opt === undefined ? { bytes: 0, version: 0 } : { bytes: Math.max(opt.udpPayloadSize, 512), version: opt.ednsVersion }
}
