// One DNS question over TCP (RFC 7766): a connection, a message with its length before it, its answer. c-ares under Node asks by UDP
// first whatever is configured, so use_tcp_for_dns_lookups comes here. Called by cares-lookup. Invariant: one answer of at most 64 KiB is
// read, within the time, and only the records of the name that was asked for, or of what it is an alias of, count.

import { randomInt } from 'node:crypto'
import { connect } from 'node:net'
import type { Packet } from 'dns-packet'
import { heldClock } from '../../io/clock.js'
import { decodeDnsMessage, encodeDnsMessage } from '../../io/dns-message.js'

export interface AddressRecord {
  readonly address: string
  readonly ttl: number
}

const DNS_PORT = 53
const RECURSION_DESIRED = 0x100
/** Aliases followed within an answer. */
const MAX_ALIASES = 16

/** `server`: address, address:port or [address]:port. Rejects with c-ares' code names. */
export async function queryOverTcp(server: string, name: string, version: 4 | 6, timeoutMs: number): Promise<AddressRecord[]> {
  const type = version === 4 ? 'A' : 'AAAA'
  const id = randomInt(65_536)
  const question: Packet = { type: 'query', id, flags: RECURSION_DESIRED, questions: [{ type, name }] }
  const answer = decodeDnsMessage(await exchange(server, encodeDnsMessage(question), timeoutMs))
  if (answer === undefined || answer.id !== id || answer.type !== 'response') throw failure('EBADRESP')
  const { rcode } = answer as { rcode?: string }
  if (rcode === 'NXDOMAIN') return []
  if (rcode !== 'NOERROR') throw failure(`E${rcode ?? 'BADRESP'}`)
  const records = answer.answers ?? []
  const owners = new Set([canonical(name)])
  for (let i = 0; i < MAX_ALIASES; i++) {
    const before = owners.size
    for (const record of records) if (record.type === 'CNAME' && owners.has(canonical(record.name))) owners.add(canonical(record.data))
    if (owners.size === before) break
  }
  return records.flatMap(record =>
    record.type === type && owners.has(canonical(record.name)) ? [{ address: record.data as string, ttl: record.ttl ?? 0 }] : [],
  )
}

function canonical(name: string): string {
  const lower = name.toLowerCase()
  return lower.endsWith('.') ? lower.slice(0, -1) : lower
}

function exchange(server: string, message: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(endpointOf(server))
    const chunks: Buffer[] = []
    let received = 0
    const timer = heldClock.after(timeoutMs, () => end(failure('ETIMEOUT')))
    const end = (error: Error | null): void => {
      timer.cancel()
      socket.destroy()
      if (error !== null) reject(error)
    }
    const head = Buffer.alloc(2)
    head.writeUInt16BE(message.length)
    socket.end(Buffer.concat([head, message]))
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      received += chunk.length
      if (received < 2) return
      const all = chunks.length === 1 ? chunk : Buffer.concat(chunks)
      const wanted = all.readUInt16BE(0)
      if (received < 2 + wanted) return
      end(null)
      resolve(all.subarray(2, 2 + wanted))
    })
    socket.on('error', (error: NodeJS.ErrnoException) => end(failure(error.code ?? 'ECONNREFUSED')))
    socket.on('close', () => end(failure('EEOF')))
  })
}

function endpointOf(server: string): { host: string; port: number } {
  const bracketed = /^\[(.+)\](?::(\d+))?$/.exec(server)
  if (bracketed !== null) return { host: bracketed[1]!, port: Number(bracketed[2] ?? DNS_PORT) }
  const plain = /^([^:]+):(\d+)$/.exec(server)
  return plain === null ? { host: server, port: DNS_PORT } : { host: plain[1]!, port: Number(plain[2]) }
}

function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}
