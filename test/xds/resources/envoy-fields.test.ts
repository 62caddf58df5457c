// Every field that Envoy 1.40 has in the messages that we read is known here: taken, listed or refused by name; and what Envoy asks of a field
// (protoc-gen-validate) we ask too. Both are read out of the real executable (ENVOY_BIN).
import { type DescMessage, getExtension, getOption, hasExtension, hasOption, type Message, toJsonString } from '@bufbuild/protobuf'
import type { DescriptorProto } from '@bufbuild/protobuf/wkt'
import { describe, expect, it } from 'vitest'
import { BootstrapSchema } from '../../../src/xds/gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { type FieldRules, FieldRulesSchema, required, rules } from '../../../src/xds/gen/validate/validate_pb.js'
import { mayBeEmpty } from '../../../src/xds/resources/constraint.js'
import type { MessageSupport } from '../../../src/xds/resources/field-support/message-support.js'
import { SUPPORT_TABLE } from '../../../src/xds/resources/field-support-table.js'
import { schemaOf } from '../../../src/xds/resources/schemas.js'
import { envoyMessages } from '../../support/envoy-descriptors.js'

const envoyBin = process.env['ENVOY_BIN']
/** `ignore_empty` of StringRules, which our validate.proto does not have. */
const IGNORE_EMPTY = 26

function listed({ supported, accepted = {}, refused = {} }: MessageSupport): ReadonlySet<string> {
  return new Set([...supported.split(' '), ...Object.keys(accepted), ...Object.keys(refused)])
}

/** All messages that a bootstrap, or an extension that we know, can hold. */
function ourMessages(): ReadonlyMap<string, DescMessage> {
  const found = new Map<string, DescMessage>()
  const queue = [BootstrapSchema, ...SUPPORT_TABLE.flatMap(([name]) => schemaOf(name) ?? [])] as DescMessage[]
  for (let desc = queue.pop(); desc !== undefined; desc = queue.pop()) {
    if (found.has(desc.typeName)) continue
    found.set(desc.typeName, desc)
    for (const { message } of desc.fields) if (message !== undefined) queue.push(message)
  }
  return found
}

/** A rule that asks nothing counts as none. */
function ruleText(rule: FieldRules | undefined): string {
  if (rule === undefined) return ''
  const text = toJsonString(FieldRulesSchema, rule)
  return ASKS_NOTHING.has(text) ? '' : text
}

const ASKS_NOTHING = new Set([
  '{"message":{"skip":true}}',
  '{"message":{"required":false}}',
  '{"uint32":{"gte":0}}',
  '{"string":{"minLen":"0"}}',
  '{"duration":{"gte":"0s"}}',
])

function ignoresEmpty(rule: FieldRules | undefined): boolean {
  const { value } = rule?.type ?? {}
  return (value as Message | undefined)?.$unknown?.some(({ no }) => no === IGNORE_EMPTY) ?? false
}

function differentRules(ours: DescMessage, theirs: DescriptorProto): string[] {
  const oneofs = theirs.oneofDecl.flatMap(({ name, options }) => {
    const our = ours.oneofs.find(oneof => oneof.name === name)
    const asked = options !== undefined && hasExtension(options, required) && getExtension(options, required)
    return our === undefined || getOption(our, required) === asked ? [] : [`${ours.typeName}.${name}: ${asked ? '' : 'not '}required`]
  })
  const fields = theirs.field.flatMap(({ number, options }) => {
    const field = ours.fields.find(one => one.number === number)
    if (field === undefined) return []
    const asked = options !== undefined && hasExtension(options, rules) ? getExtension(options, rules) : undefined
    const our = ruleText(hasOption(field, rules) ? getOption(field, rules) : undefined)
    const same = our === ruleText(asked) && mayBeEmpty(field) === ignoresEmpty(asked)
    return same ? [] : [`${ours.typeName}.${field.name}: ${our || 'nothing'}, Envoy: ${ruleText(asked) || 'nothing'}`]
  })
  return [...oneofs, ...fields]
}

describe.skipIf(envoyBin === undefined)('the messages of Envoy', () => {
  const theirs = envoyBin === undefined ? new Map<string, DescriptorProto>() : envoyMessages(envoyBin)

  it('no field of Envoy is unknown in a message that we read', () => {
    expect(theirs.size).toBeGreaterThan(1500)
    const unknown = SUPPORT_TABLE.flatMap(([message, support]) =>
      (theirs.get(message)?.field ?? []).filter(({ name }) => !listed(support).has(name)).map(({ name }) => `${message}.${name}`),
    )
    expect(unknown).toEqual([])
  })

  it('what Envoy asks of a field, and nothing else, is asked', () => {
    const both = [...ourMessages()].filter(([name]) => theirs.has(name))
    expect(both.length).toBeGreaterThan(500)
    expect(both.flatMap(([name, desc]) => differentRules(desc, theirs.get(name)!))).toEqual([])
  })
})
