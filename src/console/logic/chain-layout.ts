// A discovery chain as a picture: router, splitters, resolvers and targets in four columns, and the lines between them with what takes
// them (a match, a weight, a failover). Pure; drawn by chain-picture.tsx.
import type { ChainNode, DiscoveryChain, RouteDefinition } from '../api/answers.js'

export type ChainKind = 'router' | 'splitter' | 'resolver' | 'target'

export interface ChainBox {
  readonly id: string
  readonly kind: ChainKind
  readonly title: string
  readonly x: number
  readonly y: number
}

export interface ChainLine {
  readonly from: string
  readonly to: string
  readonly label: string
  readonly isFailover: boolean
}

export interface ChainLayout {
  readonly boxes: readonly ChainBox[]
  readonly lines: readonly ChainLine[]
  readonly width: number
  readonly height: number
}

export const BOX_WIDTH = 168
export const BOX_HEIGHT = 46
const COLUMN_GAP = 132
const ROW_GAP = 22
const MARGIN = 12
const KINDS: readonly ChainKind[] = ['router', 'splitter', 'resolver', 'target']

export function layoutChain({ Chain: chain }: DiscoveryChain): ChainLayout {
  const lines: ChainLine[] = []
  const found = new Map<string, { readonly kind: ChainKind; readonly title: string }>()
  const target = (id: string): string => {
    const { Service, ServiceSubset = '', Datacenter } = chain.Targets[id] ?? { Service: id, Datacenter: '' }
    const key = `target:${id}`
    found.set(key, {
      kind: 'target',
      title: `${Service}${ServiceSubset === '' ? '' : ` · ${ServiceSubset}`}${Datacenter === '' ? '' : ` (${Datacenter})`}`,
    })
    return key
  }
  const visit = (id: string): void => {
    const node = chain.Nodes[id]
    if (node === undefined || found.has(id)) return
    found.set(id, { kind: node.Type, title: titleOf(node) })
    for (const route of node.Routes ?? []) {
      lines.push({ from: id, to: route.NextNode, label: describeMatch(route.Definition), isFailover: false })
      visit(route.NextNode)
    }
    for (const split of node.Splits ?? []) {
      lines.push({ from: id, to: split.NextNode, label: `${split.Weight} %`, isFailover: false })
      visit(split.NextNode)
    }
    if (node.Resolver === undefined) return
    lines.push({ from: id, to: target(node.Resolver.Target), label: '', isFailover: false })
    for (const [i, failover] of (node.Resolver.Failover?.Targets ?? []).entries())
      lines.push({ from: id, to: target(failover), label: `failover ${i + 1}`, isFailover: true })
  }
  visit(chain.StartNode)
  return place(found, merged(lines))
}

const titleOf = ({ Name }: ChainNode): string => Name.replace(/\.default\.default.*$/, '')

/** Lines between the same boxes are one, with all that takes them. */
function merged(lines: readonly ChainLine[]): ChainLine[] {
  const byEnds = new Map<string, ChainLine>()
  for (const line of lines) {
    const key = JSON.stringify([line.from, line.to, line.isFailover])
    const before = byEnds.get(key)
    byEnds.set(key, before === undefined ? line : { ...line, label: [before.label, line.label].filter(text => text !== '').join(', ') })
  }
  return [...byEnds.values()]
}

export function describeMatch({ Match }: RouteDefinition): string {
  const http = Match?.HTTP
  if (http === undefined) return 'else'
  const { PathExact, PathPrefix, PathRegex, Methods = [], Header = [], QueryParam = [] } = http
  const path =
    PathExact ?? (PathPrefix === undefined ? undefined : `${PathPrefix}*`) ?? (PathRegex === undefined ? undefined : `~${PathRegex}`)
  const parts = [
    Methods.join('|'),
    path ?? '',
    Header.length === 0 ? '' : `header ${Header.map(({ Name }) => Name).join(', ')}`,
    QueryParam.length === 0 ? '' : `query ${QueryParam.map(({ Name }) => Name).join(', ')}`,
  ].filter(part => part !== '')
  return parts.length === 0 || (parts.length === 1 && path === '/*') ? 'else' : parts.join(' ')
}

function place(found: ReadonlyMap<string, { readonly kind: ChainKind; readonly title: string }>, lines: readonly ChainLine[]): ChainLayout {
  const columns = KINDS.map(kind => [...found].filter(([, box]) => box.kind === kind)).filter(column => column.length > 0)
  const tallest = Math.max(1, ...columns.map(column => column.length))
  const step = BOX_HEIGHT + ROW_GAP
  const boxes = columns.flatMap((column, c) =>
    column.map(([id, { kind, title }], r) => ({
      id,
      kind,
      title,
      x: MARGIN + c * (BOX_WIDTH + COLUMN_GAP),
      y: MARGIN + ((tallest - column.length) * step) / 2 + r * step,
    })),
  )
  return {
    boxes,
    lines,
    width: MARGIN * 2 + columns.length * BOX_WIDTH + Math.max(0, columns.length - 1) * COLUMN_GAP,
    height: MARGIN * 2 + tallest * step - ROW_GAP,
  }
}
