// Every field that the compatibility tables call supported is read, all the way: a decoder reads the message's field, and something
// outside of src/xds and src/model reads each property of the model. Part of `npm test`; prints each that is not and exits 1.
// It asks the compiler (source-graph.mjs), so a reader is one that names that very field, or a structure that the message or model fits.
import { SyntaxKind } from 'typescript/unstable/ast'
import { MEMBERS, sourceGraph } from './source-graph.mjs'

/** A parser of texts and its result: no configuration. Methods are none either. */
const NOT_CONFIG = 'model/format-commands.ts'

const { api, program, sources, readsOf } = sourceGraph()

/** Message -> the fields that field-support/ calls supported. */
function supportedFields() {
  const supported = new Map()
  const visit = node => {
    if (node.kind === SyntaxKind.PropertyAssignment && node.initializer.kind === SyntaxKind.ObjectLiteralExpression) {
      const names = node.initializer.properties.find(property => property.name?.text === 'supported')
      if (names !== undefined) supported.set(node.name.text, (names.initializer.text ?? '').split(' ').filter(Boolean))
    }
    node.forEachChild(visit)
  }
  for (const { file, source } of sources)
    if (file.startsWith('xds/resources/field-support/') && !file.endsWith('message-support.ts')) visit(source)
  return supported
}

/** The cases of a oneof's type, `{ case: "a"; value: A } | { case: "b"; value: B } | …`; none for another type. */
function casesOf(type) {
  if (type.kind !== SyntaxKind.UnionType) return []
  return type.types.flatMap(one => {
    const which = one.members?.find(member => member.name.text === 'case')
    return which?.type.literal?.text === undefined ? [] : [which.type.literal.text]
  })
}

/** Message -> name of a field in TypeScript -> { member, owner, cases }; the fields of a oneof share their member. */
function messageFields() {
  const messages = new Map()
  for (const name of program.getSourceFileNames()) {
    if (!name.includes('/src/xds/gen/')) continue
    program.getSourceFile(name).forEachChild(owner => {
      const [reference, literal] = owner.type?.types ?? []
      if (reference?.typeName?.text !== 'Message') return
      const fields = new Map()
      for (const member of literal.members) {
        const cases = casesOf(member.type)
        for (const field of cases.length > 0 ? cases : [member.name.text]) fields.set(field, { member, owner, cases })
      }
      messages.set(reference.typeArguments[0].literal.text, fields)
    })
  }
  return messages
}

/** File -> its string literals. */
const texts = new Map()
for (const { file, source } of sources) {
  const found = new Set()
  const visit = node => {
    if (node.kind === SyntaxKind.StringLiteral) found.add(node.text)
    node.forEachChild(visit)
  }
  visit(source)
  texts.set(file, found)
}

const camelCase = name => name.replace(/_+(.)/g, (_, letter) => letter.toUpperCase())
const isDecoder = ({ file }) => !file.startsWith('control/')
// The xDS client takes its own part of the model.
const isRuntime = ({ file }) => !/^(?:xds\/(?!client\/)|control\/)/.test(file)

/** A oneof's case is read where its name, or the name of each other case, stands in a file that reads the oneof. */
function isCaseRead({ cases }, name, file) {
  const named = texts.get(file)
  return cases.length === 0 || named.has(name) || cases.every(other => other === name || named.has(other))
}

const offenders = new Set()
const messages = messageFields()
for (const [message, names] of supportedFields()) {
  for (const name of names) {
    const local = camelCase(name)
    const field = messages.get(message)?.get(local)
    const readers = field === undefined ? [] : readsOf(field.member, field.owner).filter(isDecoder)
    const isRead = readers.some(({ file }) => isCaseRead(field, local, file))
    if (!isRead) offenders.add(`${message}.${name}`)
  }
}
for (const { file, source } of sources) {
  if (!file.startsWith('model/') || file === NOT_CONFIG) continue
  const visit = (node, path) => {
    if (node.kind === SyntaxKind.MethodSignature) return
    if (MEMBERS.has(node.kind)) {
      if (!readsOf(node).some(isRuntime)) offenders.add(`${path}.${node.name.text}`)
      path = `${path}.${node.name.text}`
    } else if (node.kind === SyntaxKind.InterfaceDeclaration || node.kind === SyntaxKind.TypeAliasDeclaration)
      path = `${file}: ${node.name.text}`
    node.forEachChild(child => visit(child, path))
  }
  visit(source, file)
}
api.close()

if (offenders.size > 0) {
  for (const offender of offenders) console.error(`${offender} is called supported and read by nothing`)
  process.exit(1)
}
console.log('supported fields: all are read')
