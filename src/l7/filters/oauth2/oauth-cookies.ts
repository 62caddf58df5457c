// Cookies of oauth2: those of a request as a list that can be changed and written back, and the Set-Cookie fields in Envoy's form.
// Names of one login attempt (nonce and code verifier) end in its id; those without are of older Envoys, and are set beside them.

import type { OAuth2Config, OAuth2CookieSettings } from '../../../model/oauth2.js'
import type { HeaderList } from '../../codec/header-list.js'

const LONG_AGO = 'Thu, 01 Jan 1970 00:00:00 GMT'

export class RequestCookies {
  private entries: [name: string, value: string][] = []
  private changed = false
  /** Names of all that came, those too that have been removed since. */
  readonly sent: ReadonlySet<string>

  constructor(headers: HeaderList) {
    for (const field of headers.getAll('cookie'))
      for (const part of field.split(';')) {
        const equals = part.indexOf('=')
        if (equals === -1) continue
        const value = part.slice(equals + 1).trim()
        this.entries.push([part.slice(0, equals).trim(), /^".*"$/.test(value) ? value.slice(1, -1) : value])
      }
    this.sent = new Set(this.entries.map(([name]) => name))
  }

  /** Of the first of that name; '' for none. */
  get(name: string): string {
    return this.entries.find(([known]) => known === name)?.[1] ?? ''
  }

  /** The first of that name, and no other: whoever reads them next may take the last. */
  keepFirst(name: string): void {
    const first = this.entries.find(([known]) => known === name)
    const before = this.entries.length
    this.entries = this.entries.filter(entry => entry[0] !== name || entry === first)
    if (this.entries.length < before) this.changed = true
  }

  set(name: string, value: string): void {
    const known = this.entries.find(entry => entry[0] === name)
    if (known === undefined) this.entries.push([name, value])
    else known[1] = value
    this.changed = true
  }

  remove(which: (name: string) => boolean): void {
    const before = this.entries.length
    this.entries = this.entries.filter(([name]) => !which(name))
    if (this.entries.length < before) this.changed = true
  }

  /** Into the request, where something has changed. */
  write(headers: HeaderList): void {
    if (!this.changed) return
    if (this.entries.length === 0) headers.remove('cookie')
    else headers.set('cookie', this.entries.map(([name, value]) => `${name}=${value}`).join('; '))
    this.changed = false
  }
}

/** `<base>.<id>`, or the name alone. */
export function isOfFlow(name: string, base: string): boolean {
  return name === base || name.startsWith(`${base}.`)
}

export class SetCookies {
  private readonly domain: string

  constructor({ cookieDomain }: OAuth2Config) {
    this.domain = cookieDomain === '' ? '' : `;domain=${cookieDomain}`
  }

  set(headers: HeaderList, { path, sameSite, partitioned }: OAuth2CookieSettings, name: string, value: string, seconds: number): void {
    const site = sameSite === '' ? '' : `;SameSite=${sameSite}`
    const tail = `${this.domain};path=${path};Max-Age=${seconds};secure;HttpOnly${site}${partitioned ? ';Partitioned' : ''}`
    headers.append('set-cookie', `${name}=${value}${tail}`)
  }

  remove(headers: HeaderList, { path }: OAuth2CookieSettings, name: string): void {
    // Browsers take such names from secure cookies alone.
    const secure = /^__(?:Secure|Host)-/.test(name) ? '; Secure' : ''
    headers.append('set-cookie', `${name}=deleted; path=${path}; expires=${LONG_AGO}${this.domain}${secure}`)
  }
}
