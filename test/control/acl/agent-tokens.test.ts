import { expect, it } from 'vitest'
import { AgentTokens } from '../../../src/control/acl/agent-tokens.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'

it('tokens set by the API outlive a restart where they are to be kept, and go over the configuration', async () => {
  const store = new MemoryStore()
  const configured = { default: 'from-file', dns: 'dns-from-file' }
  const first = new AgentTokens(configured)
  await first.keepIn(store)
  await first.write('acl_token', 'from-api')
  expect(first.get('default')).toBe('from-api')
  const second = new AgentTokens(configured)
  await second.keepIn(store)
  expect([second.get('default'), second.get('dns')]).toEqual(['from-api', 'dns-from-file'])
  // The files read again change nothing of it; a token that is taken away leaves its place to them.
  second.configure(configured)
  expect(second.get('default')).toBe('from-api')
  await second.write('default', '')
  const third = new AgentTokens(configured)
  await third.keepIn(store)
  expect(third.get('default')).toBe('from-file')
})

it('keep what another replica has set of another kind', async () => {
  const store = new MemoryStore()
  const replicas = [new AgentTokens(), new AgentTokens()]
  for (const replica of replicas) await replica.keepIn(store)
  await replicas[0]!.write('default', 'one')
  await replicas[1]!.write('dns', 'two')
  const later = new AgentTokens()
  await later.keepIn(store)
  expect([later.get('default'), later.get('dns')]).toEqual(['one', 'two'])
})

it('without that they are of this process alone', async () => {
  const tokens = new AgentTokens({ agent: 'a' })
  await tokens.write('agent', 'b')
  expect([tokens.get('agent'), new AgentTokens({ agent: 'a' }).get('agent')]).toEqual(['b', 'a'])
  await expect(tokens.write('nosuch', 'x')).rejects.toThrow('Token "nosuch" is unknown')
})
