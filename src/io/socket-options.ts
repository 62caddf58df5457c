// Two socket options that Node has no call for: where a connection was meant to go before the kernel redirected it (SO_ORIGINAL_DST), and
// listening for addresses that are not ours (IP_TRANSPARENT). Asked of libc through koffi, an optional package that comes prebuilt and is
// loaded by the first listener that needs it. Called by compile-listener and active-listener. Why this way:
// docs/decisions/0013-original-destination.md.
// Linux only; the first needs no privilege, the second CAP_NET_ADMIN. HOT: once a connection, about 5 µs.

import { createRequire } from 'node:module'
import type { Server, Socket } from 'node:net'
import { ipText } from './ip-text.js'

/** `::ffff:1.2.3.4` -> `1.2.3.4`: one spelling per address for rules and logs. */
export function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

export interface SocketDestination {
  /** IP literal, an IPv4 one never mapped into IPv6. */
  readonly host: string
  readonly port: number
}

export interface SocketOptions {
  /** Null: the connection was made to the very address it came in at, or the kernel does not know. */
  originalDestination(socket: Socket): SocketDestination | null
  /** Lets a server receive what was never addressed to this host (nftables and iptables TPROXY). Throws with the reason. */
  makeTransparent(server: Server): void
}

export type LoadedSocketOptions = { readonly ok: true; readonly value: SocketOptions } | { readonly ok: false; readonly reason: string }

interface Libc {
  readonly getsockopt: (fd: number, level: number, name: number, value: Uint8Array | Uint32Array, length: Uint32Array) => number
  readonly setsockopt: (fd: number, level: number, name: number, value: Uint32Array, length: number) => number
  readonly errno: () => number
}

const SOL_IP = 0
const SOL_IPV6 = 41
/** Of IPv4 and of IPv6 alike. */
const SO_ORIGINAL_DST = 80
const IP_TRANSPARENT = 19
const IPV6_TRANSPARENT = 75
const EPERM = 1
/** sizeof(sockaddr_in6); sockaddr_in is shorter. Port at 2, the address at 4 (IPv4) or 8 (IPv6). */
const SOCKADDR_BYTES = 28
const PORT_OFFSET = 2
const IPV4_OFFSET = 4
const IPV6_OFFSET = 8

let loaded: LoadedSocketOptions | null = null

export function socketOptions(): LoadedSocketOptions {
  loaded ??= loadSocketOptions(process.platform, createRequire(import.meta.url))
  return loaded
}

export function loadSocketOptions(platform: string, require: (name: string) => unknown): LoadedSocketOptions {
  if (platform !== 'linux')
    return { ok: false, reason: `the original destination of a connection is known on Linux only, this is ${platform}` }
  try {
    return { ok: true, value: new LibcSocketOptions(openLibc(require)) }
  } catch (error) {
    const why = (error as Error).message.split('\n')[0]
    return { ok: false, reason: `the optional package koffi, by which the kernel is asked, cannot be loaded: ${why}` }
  }
}

function openLibc(require: (name: string) => unknown): Libc {
  const koffi = require('koffi') as {
    load(path: null): { func(definition: string): unknown }
    errno(): number
  }
  const libc = koffi.load(null)
  return {
    getsockopt: libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)') as Libc['getsockopt'],
    setsockopt: libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)') as Libc['setsockopt'],
    errno: () => koffi.errno(),
  }
}

class LibcSocketOptions implements SocketOptions {
  private readonly libc: Libc
  /** Of one call at a time. */
  private readonly address = Buffer.alloc(SOCKADDR_BYTES)
  private readonly flag = new Uint32Array(1)
  private readonly length = new Uint32Array(1)

  constructor(libc: Libc) {
    this.libc = libc
  }

  originalDestination(socket: Socket): SocketDestination | null {
    const fd = fdOf(socket)
    const { localAddress, localPort } = socket
    if (fd < 0 || localAddress === undefined || localPort === undefined) return null
    const local = unmapped(localAddress)
    const isV4 = !local.includes(':')
    const { address } = this
    if (!this.read(fd, isV4 ? SOL_IP : SOL_IPV6, SO_ORIGINAL_DST, address)) {
      return this.isTransparent(fd, isV4) ? { host: local, port: localPort } : null
    }
    const port = address.readUInt16BE(PORT_OFFSET)
    const host = ipText(isV4 ? address.subarray(IPV4_OFFSET, IPV4_OFFSET + 4) : address.subarray(IPV6_OFFSET, IPV6_OFFSET + 16))
    // Of a connection that nobody redirected. To forward it to there would be to forward it to ourselves, for ever.
    if (port === localPort && host === local) return null
    return { host, port }
  }

  makeTransparent(server: Server): void {
    const address = server.address()
    const isV6 = address !== null && typeof address === 'object' && address.family === 'IPv6'
    this.flag[0] = 1
    const { libc, flag } = this
    if (libc.setsockopt(fdOf(server), isV6 ? SOL_IPV6 : SOL_IP, isV6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, flag, flag.byteLength) === 0)
      return
    const errno = libc.errno()
    throw new Error(`a transparent socket cannot be had: ${errno === EPERM ? 'it needs CAP_NET_ADMIN' : `errno ${errno}`}`)
  }

  /** Of a socket that TPROXY gave us its own address is where the connection was meant to go. */
  private isTransparent(fd: number, isV4: boolean): boolean {
    const { flag } = this
    return this.read(fd, isV4 ? SOL_IP : SOL_IPV6, isV4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, flag) && flag[0] !== 0
  }

  private read(fd: number, level: number, name: number, into: Uint8Array | Uint32Array): boolean {
    this.length[0] = into.byteLength
    return this.libc.getsockopt(fd, level, name, into, this.length) === 0
  }
}

/** -1: closed meanwhile. */
function fdOf(socket: Socket | Server): number {
  return (socket as unknown as { readonly _handle: { readonly fd: number } | null })._handle?.fd ?? -1
}
