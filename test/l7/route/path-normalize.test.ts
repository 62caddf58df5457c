import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalPath, type HostOptions, normalizeHost, normalizePath, type PathOptions } from '../../../src/l7/route/path-normalize.js'
import { head } from '../request-fixtures.js'

const OFF: PathOptions = { normalizePath: false, mergeSlashes: false, pathWithEscapedSlashes: 'KEEP_UNCHANGED' }
const NORMAL: PathOptions = { ...OFF, normalizePath: true }
const MERGE: PathOptions = { ...NORMAL, mergeSlashes: true }
const FORWARD: PathOptions = { ...MERGE, pathWithEscapedSlashes: 'UNESCAPE_AND_FORWARD' }
const REFUSED = { status: 400, details: 'path_normalization_failed' }

function normalized(path: string, options: PathOptions) {
  const request = head(path)
  return normalizePath(request, options) ?? request.path
}

describe('RFC 3986 normalisation', () => {
  it.each([
    ['/a/b', '/a/b'],
    ['/', '/'],
    ['/a/./b', '/a/b'],
    ['/a/../b', '/b'],
    ['/info/../private', '/private'],
    ['/..', '/'],
    ['/a/..', '/'],
    ['/a/.', '/a/'],
    ['/a/b/..', '/a/'],
    ['/../../x', '/x'],
    ['/a//../b', '/a/b'],
    ['/.well-known/x', '/.well-known/x'],
    ['/...', '/...'],
    ['/a\\b', '/a/b'],
    ['/a\\..\\b', '/b'],
    ['/%61dmin', '/admin'],
    ['/%2e%2e/x', '/x'],
    ['/a/%2E/b', '/a/b'],
    ['/a/.%2e/b', '/b'],
    ['/a%2Fb', '/a%2Fb'],
    ['/a%2fb', '/a%2fb'],
    ['/a%20b', '/a%20b'],
    ['/%7euser', '/~user'],
    ['/a{b}', '/a%7Bb%7D'],
    ['/\xc3\xa9', '/%C3%A9'],
    ['/100%', '/100%'],
    ['/x?a=../b//c%2e', '/x?a=../b//c%2e'],
    ['/a/../b?x=/../y', '/b?x=/../y'],
  ])('%s -> %s', (path, expected) => {
    expect(normalized(path, NORMAL)).toBe(expected)
  })

  it('resolves /info/../private before anyone matches (CVE-2019-9901)', () => {
    expect(normalized('/info/../private', NORMAL)).toBe('/private')
  })

  it.each([
    ['/user/..;foo=bar/admin', '/admin'],
    ['/.;/x', '/x'],
    ['/..;/admin', '/admin'],
    ['/a/%2e%2e;x=y/b', '/b'],
    ['/a/..;', '/'],
    ['/a;x=y/b', '/a;x=y/b'],
    ['/...;/b', '/...;/b'],
  ])('takes dots with path parameters as dots (CVE-2026-73551): %s -> %s', (path, expected) => {
    expect(normalized(path, NORMAL)).toBe(expected)
  })

  it('keeps path parameters elsewhere: matcher, router and RBAC all see them (CVE-2026-73511, CVE-2026-73553)', () => {
    expect(normalized('/admin;x=y/action', NORMAL)).toBe('/admin;x=y/action')
  })

  it.each(['/admin#x', '/a?b#c', '/#', '/a%23b/../#x'])('refuses a fragment (CVE-2021-32779, CVE-2021-39156, CVE-2023-45539): %s', path => {
    expect(normalized(path, OFF)).toEqual(REFUSED)
    expect(normalized(path, NORMAL)).toEqual(REFUSED)
  })

  it('refuses %00, a raw NUL and what is not UTF-8 (CVE-2019-9900, overlong dots)', () => {
    for (const path of ['/a%00b', '/a\x00', '/\xc0\xae\xc0\xae/x', '/\xff'])
      expect({ path, got: normalized(path, NORMAL) }).toEqual({ path, got: REFUSED })
  })

  it('decodes once: double encodings stay (%252F, %252e)', () => {
    expect(normalized('/a%252Fb', FORWARD)).toBe('/a%252Fb')
    expect(normalized('/%252e%252e/x', NORMAL)).toBe('/%252e%252e/x')
  })

  it('builds no escape out of a stray percent sign and an unescaped digit', () => {
    expect(normalized('/%%32e%%32e/x', NORMAL)).toBe('/%%32e%%32e/x')
    expect(normalized('/%%32%65/x', NORMAL)).toBe('/%%32e/x')
    expect(normalized('/%2%46x', NORMAL)).toBe('/%2%46x')
  })

  it('leaves the path alone when it is off', () => {
    expect(normalized('/a/../b//c\\d%61', OFF)).toBe('/a/../b//c\\d%61')
  })

  it('does not know paths that are no paths (CVE-2026-33186)', () => {
    expect(normalized('pkg.Service/Method', OFF)).toEqual({ status: 404, details: 'absolute_path_rejected' })
    expect(normalized('*', NORMAL)).toBe('*')
  })

  it('takes literal stars literally (CVE-2025-46821)', () => {
    expect(normalized('/a/*/b', NORMAL)).toBe('/a/*/b')
  })
})

describe('merge_slashes', () => {
  it.each([
    ['//a///b/', '/a/b/'],
    ['//', '/'],
    ['/a//?x=//', '/a/?x=//'],
    ['/a/.//b', '/a/b'],
    ['/a/..//b', '/b'],
  ])('%s -> %s', (path, expected) => {
    expect(normalized(path, MERGE)).toBe(expected)
  })
})

describe('escaped slashes (CVE-2021-29492, CVE-2021-31920)', () => {
  it('rejects, redirects or forwards as configured', () => {
    expect(normalized('/a%2Fsecret', { ...NORMAL, pathWithEscapedSlashes: 'REJECT_REQUEST' })).toEqual(REFUSED)
    expect(normalized('/a%5csecret?q=%2F', { ...NORMAL, pathWithEscapedSlashes: 'UNESCAPE_AND_REDIRECT' })).toEqual({
      redirect: '/a/secret?q=%2F',
    })
    expect(normalized('/a%2fsecret', { ...NORMAL, pathWithEscapedSlashes: 'UNESCAPE_AND_FORWARD' })).toBe('/a/secret')
  })

  it('unescapes before dots are resolved', () => {
    expect(normalized('/a/..%2Fsecret', FORWARD)).toBe('/secret')
    expect(normalized('/a%2F..%5csecret', FORWARD)).toBe('/secret')
  })

  it('looks at the path only, never at the query', () => {
    expect(normalized('/a?x=%2F', { ...NORMAL, pathWithEscapedSlashes: 'REJECT_REQUEST' })).toBe('/a?x=%2F')
  })
})

describe('the vectors of Consul case-l7-intentions-request-normalization (CVE-2024-10005, SECVULN-41453)', () => {
  // Denied there: exact /value/supersecret and friends; each of these must become one of the denied forms, or be refused.
  it.each([
    ['/value/supersecret', '/value/supersecret'],
    ['/value//supersecret', '/value/supersecret'],
    ['/value///supersecret', '/value/supersecret'],
    ['//value/supersecret', '/value/supersecret'],
    ['/value/./supersecret', '/value/supersecret'],
    ['/value/x/../supersecret', '/value/supersecret'],
    ['/value/%73upersecret', '/value/supersecret'],
    ['/value%2Fsupersecret', '/value/supersecret'],
    ['/value%2F%2Fsupersecret', '/value/supersecret'],
    ['/value\\supersecret', '/value/supersecret'],
    ['/value\\\\supersecret', '/value/supersecret'],
    ['/value\\/supersecret', '/value/supersecret'],
    ['/value/\\/supersecret', '/value/supersecret'],
    ['/value%5Csupersecret', '/value/supersecret'],
    ['/value/supersecret?q=1', '/value/supersecret?q=1'],
  ])('%s -> %s', (path, expected) => {
    expect(normalized(path, FORWARD)).toBe(expected)
  })

  it('refuses the fragment vector', () => {
    expect(normalized('/value/supersecret#fragment', FORWARD)).toEqual(REFUSED)
  })
})

it('is idempotent', () => {
  const piece = fc.constantFrom(
    '/',
    '\\',
    '.',
    '..',
    '%2e',
    '%2F',
    '%5c',
    '%',
    '%32',
    '%65',
    '%46',
    '2',
    'e',
    'F',
    ';',
    ';x',
    'a',
    '~',
    '%7e',
    '?',
    '{',
    '%25',
    '\xc3\xa9',
  )
  const path = fc.array(piece, { maxLength: 14 }).map(pieces => `/${pieces.join('')}`)
  fc.assert(
    fc.property(
      path,
      fc.constantFrom(NORMAL, MERGE, FORWARD, { ...FORWARD, pathWithEscapedSlashes: 'REJECT_REQUEST' as const }),
      (text, options) => {
        const once = normalized(text, options)
        if (typeof once === 'string') expect(normalized(once, options)).toBe(once)
      },
    ),
    { seed: 11, numRuns: 5000 },
  )
})

it('never leaves a dot segment, whatever comes in', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('/', '\\', '.', '%', '2', 'e', ';', 'x'), maxLength: 16 }), text => {
      const out = canonicalPath(`/${text}`)
      if (out !== null) expect(out.split('/').some(segment => /^\.{1,2}(?:;|$)/.test(segment))).toBe(false)
    }),
    { seed: 3, numRuns: 3000 },
  )
})

describe('normalizeHost', () => {
  const HOST_OFF: HostOptions = { stripMatchingHostPort: false, stripAnyHostPort: false, stripTrailingHostDot: false }
  const host = (authority: string, options: Partial<HostOptions>, method = 'GET') => {
    const request = head('/', { authority, method })
    normalizeHost(request, { ...HOST_OFF, ...options }, 8080)
    return request.authority
  }

  it('strips the listener port, any port, or the trailing dot', () => {
    expect(host('a.com:8080', { stripMatchingHostPort: true })).toBe('a.com')
    expect(host('a.com:81', { stripMatchingHostPort: true })).toBe('a.com:81')
    expect(host('a.com:81', { stripAnyHostPort: true })).toBe('a.com')
    expect(host('a.com.:81', { stripTrailingHostDot: true })).toBe('a.com:81')
    expect(host('a.com.', { stripTrailingHostDot: true })).toBe('a.com')
  })

  it('understands IPv6 and does not take a piece of an address for a port', () => {
    expect(host('[::1]:8080', { stripMatchingHostPort: true })).toBe('[::1]')
    expect(host('[::1]', { stripAnyHostPort: true })).toBe('[::1]')
    expect(host('::8080', { stripAnyHostPort: true })).toBe('::8080')
    expect(host('a.com:x', { stripAnyHostPort: true })).toBe('a.com:x')
  })

  it('leaves the target of CONNECT its port', () => {
    expect(host('a.com:8080', { stripAnyHostPort: true }, 'CONNECT')).toBe('a.com:8080')
  })
})
