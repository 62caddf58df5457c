// Every field that Envoy 1.40 has in the messages that we read is known here, with its number: taken, listed or refused by name. The fields are
// read out of the real executable (ENVOY_BIN).
import { expect, it } from 'vitest'
import type { MessageSupport } from '../../../src/xds/resources/field-support/message-support.js'
import { SUPPORT_TABLE } from '../../../src/xds/resources/field-support-table.js'
import { envoyFields } from '../../support/envoy-descriptors.js'

const envoyBin = process.env['ENVOY_BIN']

function listed({ supported, accepted = {}, refused = {} }: MessageSupport): ReadonlySet<string> {
  return new Set([...supported.split(' '), ...Object.keys(accepted), ...Object.keys(refused)])
}

it.skipIf(envoyBin === undefined)('no field of Envoy is unknown in a message that we read', () => {
  const theirs = envoyFields(envoyBin!)
  expect(theirs.size).toBeGreaterThan(1500)
  const unknown = SUPPORT_TABLE.flatMap(([message, support]) =>
    [...(theirs.get(message) ?? new Map<string, number>()).keys()]
      .filter(field => !listed(support).has(field))
      .map(field => `${message}.${field}`),
  )
  expect(unknown).toEqual([])
})
