import { expect, it } from 'vitest'
import { closestName } from '../../src/cli/closest-name.js'
import { parseProxyFlags } from '../../src/cli/proxy-flags.js'

it.each([
  ['--log-levl', '--log-level'],
  ['--confg-path', '--config-path'],
  ['--log-level', '--log-level'],
  ['--nosuch', undefined],
  ['', undefined],
])('%s is nearest to %s', (written, name) => {
  expect(closestName(written, ['--log-level', '--config-path', '--log-path'])).toBe(name)
})

it('flags that are none are answered with the one that was meant', () => {
  expect(parseProxyFlags(['--confg-path', 'a']).errors).toEqual(['--confg-path: there is no such flag (did you mean --config-path?)'])
  expect(parseProxyFlags(['--use-dynamic-baseid']).errors[0]).toContain('did you mean --use-dynamic-base-id?')
})

it('a switch that was given a value is not suggested to itself', () => {
  expect(parseProxyFlags(['--disable-hot-restart true']).errors).toEqual(['--disable-hot-restart: there is no such flag'])
})
