// Written and never called: members of classes, and exports, that nothing in src/ reads. Tests are no readers: what only they use is dead
// weight that looks alive. Part of `npm test`; prints each and exits 1. A member is also read by way of a base class or an interface that
// its class fits, ours or the runtime's.
import { SyntaxKind } from 'typescript/unstable/ast'
import { MEMBERS, sourceGraph } from './source-graph.mjs'

/** What is read from outside of src/: by bin/, by a script, or by the test that compares the table of fields with the descriptors. */
const READ_ELSEWHERE = new Set([
  'cli/outrigger-main.ts: outriggerMain',
  'cli/proxy-main.ts: proxyMain',
  'xds/resources/field-support.ts: renderCompatibilityPages',
  'xds/resources/field-support.ts: supportTable',
  'xds/resources/message-check.ts: reachableMessages',
  'xds/resources/schemas.ts: knownSchemas',
])

/** Generated code is no source here, and calls these. */
const READ_BY_GENERATED_CODE = /^xds\/descriptors\/lazy-descriptors\.ts: \w+Desc$/

/** What programs import: its members are read by them. */
const PUBLIC = /^index\.ts$|^embed\/|^l7\/filters\/custom\/(filter-call|header-view)\.ts$/

const { api, checker, sources, directReads, readsOf } = sourceGraph()

const isStatic = node => node.modifiers?.some(modifier => modifier.kind === SyntaxKind.StaticKeyword) === true

/** Name -> class of ours. */
const classes = new Map()
for (const { source } of sources)
  source.forEachChild(node => {
    if (node.kind === SyntaxKind.ClassDeclaration && node.name !== undefined) classes.set(node.name.text, node)
  })

/** Called by the runtime: a base class or interface that is not ours has it, be it the base of a base. */
function isForeign(name, owner) {
  const bases = owner.heritageClauses?.flatMap(clause => clause.types) ?? []
  return bases.some(base => {
    const own = classes.get(base.expression.text)
    if (own !== undefined && isForeign(name, own)) return true
    const property = checker.getPropertyOfType(checker.getTypeAtLocation(base), name)
    return property?.declarations.some(at => at.path.includes('/node_modules/')) === true
  })
}

const offenders = new Set()
for (const { file, source } of sources) {
  const visit = node => {
    if (MEMBERS.has(node.kind) && node.parent.kind === SyntaxKind.ClassDeclaration) {
      const used = isStatic(node) ? directReads(node) : readsOf(node)
      if (used.length === 0 && !PUBLIC.test(file) && !isForeign(node.name.text, node.parent))
        offenders.add(`${file}: ${node.parent.name.text}.${node.name.text}`)
    }
    node.forEachChild(visit)
  }
  visit(source)
}
for (const { file, source } of sources) {
  source.forEachChild(node => {
    if (!node.modifiers?.some(modifier => modifier.kind === SyntaxKind.ExportKeyword)) return
    const declared = node.kind === SyntaxKind.VariableStatement ? node.declarationList.declarations : [node]
    for (const one of declared) if (directReads(one).length === 0 && !PUBLIC.test(file)) offenders.add(`${file}: ${one.name.text}`)
  })
}
api.close()

let bad = 0
for (const offender of offenders) {
  if (READ_ELSEWHERE.has(offender) || READ_BY_GENERATED_CODE.test(offender)) continue
  bad++
  console.error(`src/${offender} is read by nothing in src/`)
}
if (bad > 0) process.exit(1)
console.log('unused members and exports: none')
