import { expect, it } from 'vitest'
import { decodeDnsMessage, encodeDnsMessage } from '../../src/io/dns-message.js'

it('reads what it wrote', () => {
  const bytes = encodeDnsMessage({ type: 'query', id: 7, questions: [{ type: 'SRV', name: 'web.service.consul' }] })
  expect(decodeDnsMessage(bytes)).toMatchObject({ id: 7, questions: [{ type: 'SRV', name: 'web.service.consul' }] })
})

it('gives undefined for every truncation of a message, and for a name that points at itself', () => {
  const bytes = encodeDnsMessage({ type: 'query', id: 7, questions: [{ type: 'A', name: 'web.service.consul' }] })
  for (let length = 0; length < bytes.length; length++) expect(decodeDnsMessage(bytes.subarray(0, length)), `${length}`).toBeUndefined()
  const loop = Buffer.concat([bytes.subarray(0, 12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])])
  expect(decodeDnsMessage(loop)).toBeUndefined()
})
