// Lists of cipher suites as BoringSSL reads them (ssl_create_cipher_list): aliases, groups, operators, order.
import { expect, it } from 'vitest'
import { cipherList } from '../../../src/mtls/tls/cipher-suites.js'

const chosen = (...entries: string[]): string => {
  const list = cipherList(entries)!
  expect(list.unknown).toEqual([])
  return list.suites.join(' ')
}

it.each<[string, string[], string]>([
  ['an alias', ['kRSA'], 'AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-SHA AES256-SHA'],
  ['joined aliases', ['ECDHE+aRSA+AESGCM'], 'ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384'],
  ['what none is', ['AES128-SHA', 'kRSA+CHACHA20'], 'AES128-SHA'],
  ['the given order', ['AES256-SHA', 'kRSA+SHA'], 'AES256-SHA AES128-SHA'],
  ['lists and groups', ['AES256-SHA:[AES128-SHA|AES128-GCM-SHA256]'], 'AES256-SHA AES128-SHA AES128-GCM-SHA256'],
  ['names of the TLS registry', ['TLS_RSA_WITH_AES_128_CBC_SHA'], 'AES128-SHA'],
  ['taken away, and put back', ['kRSA', '-SHA', 'AES256-SHA'], 'AES128-GCM-SHA256 AES256-GCM-SHA384 AES256-SHA'],
  ['forbidden for good', ['kRSA', '!SHA', 'AES256-SHA'], 'AES128-GCM-SHA256 AES256-GCM-SHA384'],
  ['moved to the end', ['kRSA', '+AESGCM'], 'AES128-SHA AES256-SHA AES128-GCM-SHA256 AES256-GCM-SHA384'],
  ['by strength', ['kRSA', '@STRENGTH'], 'AES256-GCM-SHA384 AES256-SHA AES128-GCM-SHA256 AES128-SHA'],
  ['deprecated ones by their names alone', ['3DES', 'ECDHE-RSA-AES128-SHA256'], 'DES-CBC3-SHA ECDHE-RSA-AES128-SHA256'],
])('%s: %j', (_, entries, names) => {
  expect(chosen(...entries)).toBe(names)
})

it('ALL has no suite without a certificate, and none that BoringSSL lacks', () => {
  expect(chosen('ALL')).toBe(chosen('DEFAULT'))
  expect(chosen('ALL').split(' ')).toHaveLength(14)
  expect(chosen('ALL', '!ECDHE')).toBe(chosen('kRSA'))
})

it('nothing said is null; what there is not is named', () => {
  expect(cipherList([])).toBeNull()
  expect(cipherList([''])).toBeNull()
  const entries = ['AES', 'DEFAULT', '!NONE', 'kRSA+NO', '[AES128-SHA|!SHA]', 'PSK-AES128-CBC-SHA', 'kPSK']
  expect(cipherList(entries)!.unknown).toEqual(['DEFAULT', 'NONE', 'kRSA+NO', '!SHA', 'PSK-AES128-CBC-SHA', 'kPSK'])
})
