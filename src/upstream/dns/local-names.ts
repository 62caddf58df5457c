// Names that need no server: `localhost`, the hosts file; and the search list of resolv.conf. Read anew for each lookup, as c-ares'
// getaddrinfo does. Used by cares-lookup. Invariant: a file that is missing or too long counts as empty.

import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { hostnameProblem } from './hostname.js'

/** Search domains tried (resolv.conf(5)). */
const MAX_SEARCH_DOMAINS = 6
const FILE_MAX_BYTES = 4 * 1024 * 1024

/** Both families' addresses of a name known here, or null. `hostsFile` null = none. */
export async function localAddresses(name: string, wantsV6: boolean, hostsFile: string | null): Promise<string[] | null> {
  if (isLocalhost(name)) return loopback(wantsV6)
  if (hostsFile === null) return null
  const found: string[] = []
  for (const line of (await readText(hostsFile)).split('\n')) {
    const [address, ...names] = line.split('#', 1)[0]!.trim().split(/\s+/)
    if (address !== undefined && isIP(address) !== 0 && names.some(each => each.toLowerCase() === name)) found.push(address)
  }
  return found.length > 0 ? found : null
}

/** Absolute names to ask for, in order (search and ndots of resolv.conf; null = only the name itself). */
export async function searchCandidates(name: string, resolvConf: string | null): Promise<string[]> {
  if (name.endsWith('.') || resolvConf === null) return [name]
  const { search, ndots } = parseResolvConf(await readText(resolvConf))
  const qualified = search.map(domain => `${name}.${domain}`).filter(each => hostnameProblem(each) === null)
  const dots = name.split('.').length - 1
  return dots >= ndots ? [name, ...qualified] : [...qualified, name]
}

/** Whether any interface but the loopback has an address of each family. */
export function routableFamilies(): { readonly v4: boolean; readonly v6: boolean } {
  const all = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  const has = (family: string): boolean => all.some(each => each.family === family && !each.internal)
  return { v4: has('IPv4'), v6: has('IPv6') }
}

function isLocalhost(name: string): boolean {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  // RFC 6761, section 6.3
  return bare === 'localhost' || bare.endsWith('.localhost')
}

/** Where there is no IPv6 at all, `::1` is given only to who insists on it. */
function loopback(wantsV6: boolean): string[] {
  const hasV6 = Object.values(networkInterfaces()).some(list => list?.some(each => each.family === 'IPv6'))
  return hasV6 || wantsV6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']
}

function parseResolvConf(text: string): { search: string[]; ndots: number } {
  let search: string[] = []
  let ndots = 1
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.split(/[#;]/, 1)[0]!.trim().split(/\s+/)
    if (keyword === 'search' || keyword === 'domain') search = values.filter(value => value !== '.')
    if (keyword === 'options') {
      for (const value of values) {
        const match = /^ndots:(\d{1,2})$/.exec(value)
        if (match !== null) ndots = Math.min(15, Number(match[1]))
      }
    }
  }
  return { search: search.slice(0, MAX_SEARCH_DOMAINS), ndots }
}

async function readText(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    return bytes.length > FILE_MAX_BYTES ? '' : bytes.toString('latin1')
  } catch {
    return ''
  }
}
