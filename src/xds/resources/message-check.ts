// The generic half of validation: walks the set fields of a decoded message and reports, with the path of each, broken constraints
// (Envoy's protoc-gen-validate rules), fields that we refuse or accept without effect (field-support.ts), and fields unknown to our
// protos. Called once per message by decode.ts and wherever an Any is unpacked (any.ts); the decoders then only do what is special.
// A plan per message type is compiled on first use, so that a large endpoint assignment costs property reads, not reflection.

import { type DescField, type DescMessage, getOption, type Message } from '@bufbuild/protobuf'
import { type Duration, isWrapperDesc } from '@bufbuild/protobuf/wkt'
import { required as oneofRequired, rules as rulesOption } from '../gen/validate/validate_pb.js'
import { type Constraint, compileConstraint, durationProblem, isRequired, isWalked, type WalkedMessage } from './constraint.js'
import type { Ctx } from './field-path.js'
import { type FieldSupport, fieldSupport } from './field-support.js'

interface FieldPlan {
  readonly name: string
  readonly local: string
  readonly oneof: string | null
  readonly kind: 'value' | 'list' | 'map'
  /** Value of an unset scalar; undefined for messages and wrappers. */
  readonly zero: unknown
  readonly required: boolean
  readonly constraint: Constraint | null
  readonly keyConstraint: Constraint | null
  readonly itemConstraint: Constraint | null
  readonly message: DescMessage | null
  readonly isDuration: boolean
  readonly support: FieldSupport
}

interface MessagePlan {
  readonly fields: readonly FieldPlan[]
  readonly requiredOneofs: readonly { readonly name: string; readonly local: string; readonly choices: string }[]
}

const plans = new Map<string, MessagePlan>()

function compileField(field: DescField): FieldPlan {
  const rules = getOption(field, rulesOption)
  const base = {
    name: field.name,
    local: field.localName,
    oneof: field.oneof?.localName ?? null,
    required: isRequired(rules),
    constraint: compileConstraint(rules, field),
    keyConstraint: null as Constraint | null,
    itemConstraint: null as Constraint | null,
    message: null as DescMessage | null,
    isDuration: false,
    zero: undefined as unknown,
    support: fieldSupport(field.parent.typeName, field.name),
  }
  const messageDesc = field.message
  if (messageDesc !== undefined) {
    base.isDuration = messageDesc.typeName === 'google.protobuf.Duration'
    base.message = isWalked(messageDesc) ? messageDesc : null
  }
  if (field.fieldKind === 'list') {
    const items = rules?.type.case === 'repeated' ? rules.type.value.items : undefined
    return { ...base, kind: 'list', itemConstraint: compileConstraint(items, field) }
  }
  if (field.fieldKind === 'map') {
    const map = rules?.type.case === 'map' ? rules.type.value : undefined
    return {
      ...base,
      kind: 'map',
      keyConstraint: compileConstraint(map?.keys, field),
      itemConstraint: compileConstraint(map?.values, field),
    }
  }
  if (field.fieldKind === 'scalar' && field.oneof === undefined) base.zero = field.getDefaultValue() ?? scalarZero(field)
  if (field.fieldKind === 'enum' && field.oneof === undefined) base.zero = 0
  return { ...base, kind: 'value' }
}

function scalarZero(field: DescField & { fieldKind: 'scalar' }): unknown {
  if (field.longAsString) return '0'
  switch (field.scalar) {
    case 9:
      return ''
    case 8:
      return false
    case 12:
      return undefined
    case 3:
    case 4:
    case 6:
    case 16:
    case 18:
      return 0n
    default:
      return 0
  }
}

function planOf(desc: DescMessage): MessagePlan {
  let plan = plans.get(desc.typeName)
  if (plan === undefined) {
    plan = {
      fields: desc.fields.map(compileField),
      requiredOneofs: desc.oneofs
        .filter(oneof => getOption(oneof, oneofRequired))
        .map(oneof => ({ name: oneof.name, local: oneof.localName, choices: oneof.fields.map(field => field.name).join(', ') })),
    }
    plans.set(desc.typeName, plan)
  }
  return plan
}

/** Checks `message` and everything in it, except what is packed in an Any. `listing` false: constraints only (inside an ignored field). */
export function checkMessage(desc: DescMessage, message: Message, ctx: Ctx, listing = true): void {
  const plan = planOf(desc)
  const values = message as WalkedMessage
  if (message.$unknown !== undefined) {
    if (ctx.sink.options.unknownFields === 'refuse') ctx.error(`${message.$unknown.length} unknown fields of ${desc.typeName}`)
    else ctx.sink.unknownFields += message.$unknown.length
  }
  for (const oneof of plan.requiredOneofs) {
    const group = values[oneof.local] as { case: string | undefined }
    if (group.case === undefined) ctx.at(oneof.name).error(`one of ${oneof.choices} is required`)
  }
  for (const field of plan.fields) {
    const value = fieldValue(values, field)
    if (value === undefined) {
      if (field.required && field.oneof === null) ctx.at(field.name).error('value is required')
      continue
    }
    if (field.kind === 'value') checkSingular(field, value, ctx, listing)
    else checkRepeated(field, value, ctx, listing)
  }
}

function fieldValue(values: WalkedMessage, field: FieldPlan): unknown {
  if (field.oneof === null) return values[field.local]
  const group = values[field.oneof] as { case: string | undefined; value?: unknown }
  return group.case === field.local ? group.value : undefined
}

/** Reports the field as its support says; returns whether what is inside is still listed. */
function applySupport(field: FieldPlan, ctx: Ctx): boolean {
  if (field.support.status === 'supported') return true
  if (field.support.status === 'refused') ctx.at(field.name).error(field.support.note === '' ? 'is not supported' : field.support.note)
  else ctx.at(field.name).unsupported()
  return false
}

function checkSingular(field: FieldPlan, value: unknown, ctx: Ctx, listing: boolean): void {
  let inner = listing
  // `false` in a BoolValue, and the zero of a scalar, ask for nothing.
  const asksNothing = field.oneof === null ? value === field.zero || value === false || isEmptyBytes(value) : value === false
  if (listing && !asksNothing) inner = applySupport(field, ctx)
  if (field.constraint !== null) {
    const problem = field.constraint(unwrap(value))
    if (problem !== null) ctx.at(field.name).error(problem)
  }
  if (field.isDuration) {
    const problem = durationProblem(value as Duration)
    if (problem !== null) ctx.at(field.name).error(problem)
  } else if (field.message !== null) checkMessage(field.message, value as Message, ctx.at(field.name), inner)
}

function isEmptyBytes(value: unknown): boolean {
  return value instanceof Uint8Array && value.length === 0
}

/** Wrapper messages keep their message form inside a oneof. */
function unwrap(value: unknown): unknown {
  const isWrapper =
    typeof value === 'object' &&
    value !== null &&
    '$typeName' in value &&
    'value' in value &&
    /^google\.protobuf\.\w+Value$/.test(String(value.$typeName))
  return isWrapper ? value.value : value
}

function checkRepeated(field: FieldPlan, value: unknown, ctx: Ctx, listing: boolean): void {
  if (field.constraint !== null) {
    const problem = field.constraint(value)
    if (problem !== null) ctx.at(field.name).error(problem)
  }
  const isList = field.kind === 'list'
  const entries = isList ? (value as readonly unknown[]) : Object.entries(value as object)
  if (entries.length === 0) return
  const inner = listing ? applySupport(field, ctx) : false
  if (field.keyConstraint === null && field.itemConstraint === null && field.message === null && !field.isDuration) return
  for (let i = 0; i < entries.length; i++) {
    const [key, item] = isList ? [i, entries[i]] : (entries[i] as [string, unknown])
    let problem = field.keyConstraint !== null ? field.keyConstraint(key) : null
    if (field.itemConstraint !== null) problem ??= field.itemConstraint(item)
    if (field.isDuration) problem ??= durationProblem(item as Duration)
    if (problem !== null) ctx.at(field.name, key).error(problem)
    if (field.message !== null) checkMessage(field.message, item as Message, ctx.at(field.name, key), inner)
  }
}

/** Every type the walk can enter from `desc` through fields that are read (not refused, not ignored): what field-support must list. */
export function reachableMessages(desc: DescMessage, into = new Map<string, DescMessage>()): Map<string, DescMessage> {
  if (into.has(desc.typeName) || !isWalked(desc) || isWrapperDesc(desc)) return into
  into.set(desc.typeName, desc)
  for (const field of desc.fields) {
    if (field.message !== undefined && fieldSupport(desc.typeName, field.name).status === 'supported')
      reachableMessages(field.message, into)
  }
  return into
}
