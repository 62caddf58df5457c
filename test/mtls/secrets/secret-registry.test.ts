import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DataSource, SdsSecretRef, Secret } from '../../../src/model/tls.js'
import { type SecretListener, SecretRegistry } from '../../../src/mtls/secrets/secret-registry.js'

const ref = (name: string): SdsSecretRef => ({ name, source: { kind: 'ads' }, initialFetchTimeoutMs: 0 })
const secret = (name: string): Secret => ({ secret: { kind: 'inline', text: '' }, kind: 'generic', name })
const file = (path: string): DataSource => ({ kind: 'file', path, watchedDirectory: '' })

let folder: string
let registry: SecretRegistry
let unwanted: string[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-secrets-'))
  unwanted = []
  registry = new SecretRegistry({ onUnwanted: ({ name }) => void unwanted.push(name) })
})
afterEach(() => {
  registry.close()
  rmSync(folder, { recursive: true, force: true })
})

/** As a TLS context does: names what it depends on anew at each change. */
class Dependent implements SecretListener {
  told = 0

  constructor(public names: () => { readonly sources?: readonly DataSource[]; readonly refs?: readonly SdsSecretRef[] }) {
    this.subscribe()
  }

  onSecretChange(): void {
    this.told++
    this.subscribe()
  }

  private subscribe(): void {
    const { sources = [], refs = [] } = this.names()
    registry.depend(this, sources, refs)
  }
}

describe('a secret that something waits for', () => {
  const waitFor = (name: string, initialFetchTimeoutMs = 0): string[] => {
    const said: string[] = []
    registry.whenSettled({ ...ref(name), initialFetchTimeoutMs }, () => said.push('settled'))
    return said
  }
  const want = (...refs: SdsSecretRef[]): Dependent => new Dependent(() => ({ refs }))

  it('has settled once it has come, was given up, or is static; what comes after that is used, and taking it back settles nothing anew', () => {
    want(ref('comes'), ref('never'))
    const [comes, never] = [waitFor('comes'), waitFor('never')]
    expect([registry.isSettled(ref('comes')), registry.isSettled(ref('unknown'))]).toEqual([false, false])
    registry.setSecret(ref('comes'), secret('comes'))
    registry.giveUp(ref('never'))
    expect([comes, never]).toEqual([['settled'], ['settled']])
    registry.setSecret(ref('never'), secret('never'))
    registry.withdraw(ref('comes'))
    expect([comes, never, waitFor('comes')]).toEqual([['settled'], ['settled'], ['settled']])
    expect(registry.secret(ref('never'))).toEqual(secret('never'))
    expect(registry.isSettled({ ...ref('any'), source: { kind: 'static' } })).toBe(true)
  })

  it('is told after those who use it, and not when it stopped waiting', () => {
    const order: string[] = []
    const user = want(ref('leaf'))
    registry.whenSettled(ref('leaf'), () => order.push(`after ${user.told}`))
    registry.whenSettled(ref('leaf'), () => order.push('stopped'))()
    registry.setSecret(ref('leaf'), secret('leaf'))
    registry.setSecret(ref('leaf'), secret('leaf'))
    expect(order).toEqual(['after 1'])
  })

  it('is waited for by each as long as it says, and no longer by who comes later with the same timeout', () => {
    const [short, long] = [
      { ...ref('leaf'), initialFetchTimeoutMs: 10 },
      { ...ref('leaf'), initialFetchTimeoutMs: 20 },
    ]
    const wanted: number[] = []
    registry = new SecretRegistry({ onWanted: ({ initialFetchTimeoutMs }) => void wanted.push(initialFetchTimeoutMs) })
    want(short)
    want(long)
    want(short)
    expect(wanted).toEqual([10, 20])
    const [first, second] = [waitFor('leaf', 10), waitFor('leaf', 20)]
    registry.expire(short)
    expect([first, second, waitFor('leaf', 10)]).toEqual([['settled'], [], ['settled']])
    registry.expire(long)
    expect(second).toEqual(['settled'])
  })
})

describe('a listener that names what it depends on again at each change', () => {
  it('is told of each rotation of a secret once, however many came before', () => {
    const dependent = new Dependent(() => ({ refs: [ref('leaf'), ref('bundle')] }))
    for (let i = 1; i <= 12; i++) {
      registry.setSecret(ref('leaf'), secret('leaf'))
      expect(dependent.told).toBe(i)
    }
    registry.setSecret(ref('bundle'), secret('bundle'))
    expect(dependent.told).toBe(13)
  })

  it('is told of each change of its files once', () => {
    const [key, chain] = [join(folder, 'key.pem'), join(folder, 'chain.pem')]
    for (const path of [key, chain]) writeFileSync(path, '0')
    const dependent = new Dependent(() => ({ sources: [file(key), file(chain)] }))
    for (let i = 1; i <= 12; i++) {
      for (const path of [key, chain]) writeFileSync(path, String(i))
      registry.checkFiles()
      expect(dependent.told).toBe(i)
    }
  })

  it('is not told of what it no longer names, which nobody watches then', () => {
    let names: readonly SdsSecretRef[] = [ref('a'), ref('b')]
    const dependent = new Dependent(() => ({ refs: names }))
    const other = new Dependent(() => ({ refs: [ref('a')] }))
    names = [ref('b')]
    registry.setSecret(ref('b'), secret('b'))
    expect(unwanted, 'another names it still').toEqual([])
    registry.setSecret(ref('a'), secret('a'))
    expect([dependent.told, other.told]).toEqual([1, 1])
    names = []
    registry.setSecret(ref('b'), secret('b'))
    expect(unwanted).toEqual(['b'])
    expect(registry.wanted().map(({ name }) => name)).toEqual(['a'])
  })
})
