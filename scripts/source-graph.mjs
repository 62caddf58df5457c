// Who reads what in src/: each property, method and export with the places that read it, as the compiler resolves them. Tests are not part
// of it. Used by check-unused.mjs and check-fields.mjs. A property that is only assigned to is not read, and neither is one whose own
// declaration holds the reference; one is read by way of a base class or a structure that its owner fits as well.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SyntaxKind } from 'typescript/unstable/ast'
import { API, SymbolFlags } from 'typescript/unstable/sync'

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const SRC = `${ROOT}/src/`

export const MEMBERS = new Set([
  SyntaxKind.PropertyDeclaration,
  SyntaxKind.PropertySignature,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.MethodSignature,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
])

/** `x.y = …`, and `x.y++` or `x.y += …` whose value nobody takes. */
function isOnlyWritten(access) {
  const parent = access.parent
  const discarded = parent.parent?.kind === SyntaxKind.ExpressionStatement
  if (parent.kind === SyntaxKind.BinaryExpression && parent.left === access) {
    const operator = parent.operatorToken.kind
    if (operator === SyntaxKind.EqualsToken) return true
    return discarded && operator >= SyntaxKind.FirstCompoundAssignment && operator <= SyntaxKind.LastCompoundAssignment
  }
  return discarded && (parent.kind === SyntaxKind.PostfixUnaryExpression || parent.kind === SyntaxKind.PrefixUnaryExpression)
}

/** Opens the program of src/ and walks it once. */
export function sourceGraph() {
  const api = new API({ cwd: ROOT })
  const project = api.updateSnapshot({ openProjects: [`${ROOT}/tsconfig.build.json`] }).getProjects()[0]
  const { program, checker } = project
  /** `file#n` of a declaration -> [{ file, node }] of what names it. */
  const reads = new Map()
  const files = program.getSourceFileNames().filter(name => name.startsWith(SRC))
  const note = (symbol, node, file) => {
    if (symbol === undefined) return
    const target = symbol.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    for (const handle of target.declarations) {
      const key = `${handle.path}#${handle.index}`
      const list = reads.get(key)
      if (list === undefined) reads.set(key, [{ file, node }])
      else list.push({ file, node })
    }
  }
  const sources = []
  for (const name of files) {
    const file = name.slice(SRC.length)
    if (file.startsWith('xds/gen/')) continue
    const source = program.getSourceFile(name)
    sources.push({ file, source })
    const nodes = []
    const patterns = []
    const keyed = []
    const visit = node => {
      if (node.kind === SyntaxKind.Identifier || node.kind === SyntaxKind.PrivateIdentifier) {
        const parent = node.parent
        const isName = parent.name === node
        if (parent.kind === SyntaxKind.PropertyAccessExpression && isName) {
          if (!isOnlyWritten(parent)) nodes.push(node)
        } else if (parent.kind === SyntaxKind.BindingElement) {
          if (parent.propertyName === node) nodes.push(node)
          else if (isName && parent.propertyName === undefined && parent.parent.kind === SyntaxKind.ObjectBindingPattern)
            patterns.push(parent)
        } else if (parent.kind === SyntaxKind.ShorthandPropertyAssignment)
          note(checker.getShorthandAssignmentValueSymbol(parent), node, file)
        else if (!isName || parent.kind === SyntaxKind.ImportSpecifier || parent.kind === SyntaxKind.ExportSpecifier) nodes.push(node)
      } else if (node.kind === SyntaxKind.ElementAccessExpression && !isOnlyWritten(node)) {
        if (node.argumentExpression.kind === SyntaxKind.StringLiteral) nodes.push(node.argumentExpression)
        else keyed.push(node)
      }
      node.forEachChild(visit)
    }
    visit(source)
    const symbols = checker.getSymbolAtLocation(nodes)
    for (let i = 0; i < nodes.length; i++) note(symbols[i], nodes[i], file)
    const types = checker.getTypeAtLocation(patterns.map(element => element.parent))
    for (let i = 0; i < patterns.length; i++)
      if (types[i] !== undefined) note(checker.getPropertyOfType(types[i], patterns[i].name.text), patterns[i].name, file)
    // `stats[kind]` reads every member that `kind` can name.
    const owners = checker.getTypeAtLocation(keyed.map(node => node.expression))
    const keys = checker.getTypeAtLocation(keyed.map(node => node.argumentExpression))
    for (let i = 0; i < keyed.length; i++)
      for (const key of keys[i]?.isUnionType() ? keys[i].getTypes() : [keys[i]])
        if (key?.isStringLiteralType() && owners[i] !== undefined) note(checker.getPropertyOfType(owners[i], key.value), keyed[i], file)
  }

  /** The places outside of the declaration itself that name it. */
  const directReads = node => {
    const source = node.getSourceFile()
    return (reads.get(`${source.path}#${node.index}`) ?? []).filter(
      ({ node: by }) => by.getSourceFile() !== source || by.pos < node.pos || by.end > node.end,
    )
  }

  /** Name -> the members of that name in src/ that something reads. */
  const readMembers = new Map()
  const visit = node => {
    if (MEMBERS.has(node.kind) && node.name !== undefined && directReads(node).length > 0) {
      const list = readMembers.get(node.name.text)
      if (list === undefined) readMembers.set(node.name.text, [node])
      else list.push(node)
    }
    node.forEachChild(visit)
  }
  for (const { source } of sources) visit(source)

  /** Class -> the classes that extend it. */
  const heirs = new Map()
  for (const { source } of sources) {
    source.forEachChild(node => {
      if (node.kind !== SyntaxKind.ClassDeclaration) return
      for (const clause of node.heritageClauses ?? [])
        for (const type of clause.types)
          for (const handle of checker.getTypeAtLocation(type)?.getSymbol()?.declarations ?? []) {
            const key = `${handle.path}#${handle.index}`
            heirs.set(key, [...(heirs.get(key) ?? []), node])
          }
    })
  }

  /** The reads of a member: its own, and those of a member of its name in a type that its owner, or an heir of it, fits. */
  const readsOf = (member, owner = member.parent) => {
    const found = readsBy(member, owner)
    for (const heir of heirs.get(`${owner.getSourceFile().path}#${owner.index}`) ?? []) found.push(...readsOf(member, heir))
    return found
  }
  const readsBy = (member, owner) => {
    const own = checker.getTypeAtLocation(owner.name ?? owner)
    const bases = (owner.heritageClauses ?? []).flatMap(clause => clause.types.map(type => checker.getTypeAtLocation(type)))
    const found = directReads(member)
    for (const other of readMembers.get(member.name.text) ?? []) {
      if (other === member) continue
      const type = checker.getTypeAtLocation(other.parent.name ?? other.parent)
      if (type === undefined || own === undefined) continue
      const isBase = bases.some(base => base !== undefined && base.getSymbol()?.id === type.getSymbol()?.id)
      if (isBase || checker.isTypeAssignableTo(own, type)) found.push(...directReads(other))
    }
    return found
  }
  return { api, program, checker, sources, directReads, readsOf }
}
