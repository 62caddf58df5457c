import { describe, expect, it } from 'vitest'
import { type AdminRules, adminRefusal } from '../../../src/proxy/admin/admin-guard.js'

const rules: AdminRules = { allowsPath: null, ownNames: ['node7.example.com'] }
const ask = (host: string | undefined, origin?: string, given = rules): string | null => adminRefusal(given, '/stats', host, origin)

describe('adminRefusal', () => {
  it.each([
    undefined,
    '',
    '127.0.0.1:19000',
    '10.1.2.3',
    '[::1]:19000',
    'localhost:19000',
    'LOCALHOST',
    'a.localhost',
    'sidecar:19000',
    'node7.example.com:19000',
    'Node7.Example.Com.',
  ])('takes Host %s', host => {
    expect(ask(host)).toBeNull()
  })

  it.each(['rebound.attacker.example', 'rebound.attacker.example:19000', 'node7.example.com.attacker.example', '127.0.0.1.nip.io'])(
    'refuses Host %s',
    host => {
      expect(ask(host)).toContain('is no address or name of this admin')
    },
  )

  it.each(['http://attacker.example', 'null', 'https://127.0.0.1:8080', 'http://127.0.0.1:19000/x', 'file://'])(
    'refuses Origin %s',
    origin => {
      expect(ask('127.0.0.1:19000', origin)).toContain("is not the admin's own")
    },
  )

  it('takes the Origin of its own pages', () => {
    expect(ask('127.0.0.1:19000', 'http://127.0.0.1:19000')).toBeNull()
  })

  it('takes everything once it is told to', () => {
    expect(ask('rebound.attacker.example', 'http://attacker.example', { allowsPath: null, ownNames: null })).toBeNull()
  })

  it('answers only paths that are allowed', () => {
    const some: AdminRules = { allowsPath: path => path === '/ready', ownNames: null }
    expect(adminRefusal(some, '/ready', 'a', undefined)).toBeNull()
    expect(adminRefusal(some, '/quitquitquit', 'a', undefined)).toBe('request to path /quitquitquit not allowed\n')
  })
})
