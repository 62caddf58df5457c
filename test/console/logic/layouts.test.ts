import { describe, expect, it } from 'vitest'
import type { DiscoveryChain } from '../../../src/console/api/answers.js'
import { BOX_HEIGHT, BOX_WIDTH, describeMatch, layoutChain } from '../../../src/console/logic/chain-layout.js'
import {
  LABEL_HEIGHT,
  layoutTopology,
  NODE_HEIGHT,
  NODE_WIDTH,
  pathOf,
  placeLabels,
  routeEdge,
} from '../../../src/console/logic/topology-layout.js'

const edge = (source: string, destination: string) => ({ source, destination })

function overlaps(boxes: readonly { readonly x: number; readonly y: number }[], width: number, height: number): boolean {
  return boxes.some((a, i) => boxes.slice(i + 1).some(b => Math.abs(a.x - b.x) < width && Math.abs(a.y - b.y) < height))
}

describe('the topology', () => {
  it('stands callers to the left of whom they call', () => {
    const { nodes } = layoutTopology(['api', 'db', 'web'], [edge('web', 'api'), edge('api', 'db'), edge('web', 'db')])
    expect(nodes.get('web')!.x).toBeLessThan(nodes.get('api')!.x)
    expect(nodes.get('api')!.x).toBeLessThan(nodes.get('db')!.x)
  })

  it('places every service once, whatever loops there are, and none upon another', () => {
    const names = Array.from({ length: 60 }, (_, i) => `s${i}`)
    const edges = names
      .flatMap((name, i) => [edge(name, `s${(i * 7 + 3) % 60}`), edge(name, `s${(i * 13 + 5) % 60}`), edge(name, name)])
      .filter((_, i) => i % 4 !== 0)
    const { nodes, width, height } = layoutTopology(names, edges)
    const placed = [...nodes.values()]
    expect(placed.map(({ name }) => name).sort()).toEqual([...names].sort())
    expect(overlaps(placed, NODE_WIDTH, NODE_HEIGHT)).toBe(false)
    for (const { x, y } of placed) {
      expect(x + NODE_WIDTH).toBeLessThanOrEqual(width)
      expect(y + NODE_HEIGHT).toBeLessThanOrEqual(height)
    }
  })

  it('is the same picture for the same services in another order', () => {
    const edges = [edge('a', 'b'), edge('c', 'b'), edge('b', 'd')]
    expect(layoutTopology(['d', 'a', 'c', 'b'], [...edges].reverse())).toEqual(layoutTopology(['a', 'b', 'c', 'd'], edges))
  })

  it('draws services that nobody calls apart, and an empty mesh', () => {
    const { nodes } = layoutTopology(['alone', 'api', 'web'], [edge('web', 'api')])
    expect(nodes.get('alone')!.y).toBeGreaterThan(nodes.get('web')!.y)
    expect(layoutTopology([], []).nodes.size).toBe(0)
  })

  it('leads an edge that goes back below its boxes', () => {
    const [b, a] = [
      { name: 'b', x: 400, y: 20 },
      { name: 'a', x: 20, y: 20 },
    ]
    const nodes = new Map([a, b].map(node => [node.name, node]))
    const curve = routeEdge(b, a, nodes)
    expect(pathOf(curve)).toMatch(/^M488,84 C488,118 108,118 108,84$/)
    const [[, y]] = placeLabels([{ curve, width: 60 }], nodes) as [readonly [number, number]]
    expect(y).toBeGreaterThan(20 + NODE_HEIGHT)
  })

  it('leads an edge around the box between its ends, and its label is beside that', () => {
    const edges = [edge('web', 'api'), edge('api', 'billing'), edge('web', 'billing'), edge('batch', 'api')]
    const { nodes } = layoutTopology(['api', 'batch', 'billing', 'web'], edges)
    const curves = edges.map(({ source, destination }) => routeEdge(nodes.get(source)!, nodes.get(destination)!, nodes))
    const width = 140
    const places = placeLabels(
      curves.map(curve => ({ curve, width })),
      nodes,
    )
    for (const [x, y] of places)
      for (const node of nodes.values()) {
        const beside = x + width / 2 <= node.x || x - width / 2 >= node.x + NODE_WIDTH
        const off = y + LABEL_HEIGHT / 2 <= node.y || y - LABEL_HEIGHT / 2 >= node.y + NODE_HEIGHT
        expect({ x, y, node, free: beside || off }).toMatchObject({ free: true })
      }
    // The others go as straight as before.
    expect(pathOf(curves[1]!)).toBe(pathOf(routeEdge(nodes.get('api')!, nodes.get('billing')!, new Map())))
    // In one row there is no room above: it goes below.
    const row = new Map(['a', 'b', 'c'].map((name, i) => [name, { name, x: 24 + i * 360, y: 24 }]))
    const [, , , y2] = routeEdge(row.get('a')!, row.get('c')!, row)
    expect(y2).toBeGreaterThan(24 + NODE_HEIGHT)
  })

  it('puts no label upon another where edges cross', () => {
    const edges = [edge('a', 'd'), edge('b', 'c')]
    const nodes = new Map([
      ['a', { name: 'a', x: 0, y: 0 }],
      ['b', { name: 'b', x: 0, y: 100 }],
      ['c', { name: 'c', x: 326, y: 0 }],
      ['d', { name: 'd', x: 326, y: 100 }],
    ])
    const [first, second] = placeLabels(
      edges.map(({ source, destination }) => ({ curve: routeEdge(nodes.get(source)!, nodes.get(destination)!, nodes), width: 50 })),
      nodes,
    )
    expect(Math.abs(first![0] - second![0]) >= 50 || Math.abs(first![1] - second![1]) >= LABEL_HEIGHT).toBe(true)
  })
})

const TARGET = { Namespace: 'default', Partition: 'default', Datacenter: 'dc1' }
const CHAIN: DiscoveryChain = {
  Chain: {
    ServiceName: 'api',
    Protocol: 'http',
    StartNode: 'router:api',
    Nodes: {
      'router:api': {
        Type: 'router',
        Name: 'api.default.default',
        Routes: [
          { Definition: { Match: { HTTP: { PathPrefix: '/admin', Methods: ['GET'] } } }, NextNode: 'resolver:admin' },
          { Definition: { Match: { HTTP: { PathPrefix: '/' } } }, NextNode: 'splitter:api' },
        ],
      },
      'splitter:api': {
        Type: 'splitter',
        Name: 'api.default.default',
        Splits: [
          { Weight: 90, NextNode: 'resolver:v1' },
          { Weight: 10, NextNode: 'resolver:v2' },
        ],
      },
      'resolver:admin': { Type: 'resolver', Name: 'admin.default.default.dc1', Resolver: { Target: 'admin' } },
      'resolver:v1': { Type: 'resolver', Name: 'v1.api', Resolver: { Target: 'v1', Failover: { Targets: ['v2'] } } },
      'resolver:v2': { Type: 'resolver', Name: 'v2.api', Resolver: { Target: 'v2' } },
    },
    Targets: {
      admin: { ...TARGET, Service: 'admin' },
      v1: { ...TARGET, Service: 'api', ServiceSubset: 'v1' },
      v2: { ...TARGET, Service: 'api', ServiceSubset: 'v2' },
    },
  },
}

describe('a discovery chain', () => {
  it('stands in columns from router to targets, with what takes a request along each line', () => {
    const { boxes, lines } = layoutChain(CHAIN)
    const columns = new Map<string, Set<number>>()
    for (const { kind, x } of boxes) columns.set(kind, (columns.get(kind) ?? new Set()).add(x))
    const order = ['router', 'splitter', 'resolver', 'target'].map(kind => [...columns.get(kind)!])
    expect(order.every(xs => xs.length === 1)).toBe(true)
    expect(order.flat()).toEqual([...order.flat()].sort((a, b) => a - b))
    expect(overlaps(boxes, BOX_WIDTH, BOX_HEIGHT)).toBe(false)
    const label = (from: string, to: string): string[] => lines.filter(line => line.from === from && line.to === to).map(line => line.label)
    expect(label('router:api', 'resolver:admin')).toEqual(['GET /admin*'])
    expect(label('router:api', 'splitter:api')).toEqual(['else'])
    expect(label('splitter:api', 'resolver:v1')).toEqual(['90 %'])
    expect(label('resolver:v1', 'target:v2')).toEqual(['failover 1'])
  })

  it('says what a route matches', () => {
    expect(describeMatch({ Match: { HTTP: { PathExact: '/a', Header: [{ Name: 'x-user' }], QueryParam: [{ Name: 'debug' }] } } })).toBe(
      '/a header x-user query debug',
    )
    expect(describeMatch({ Match: { HTTP: { PathRegex: '/v[0-9]+' } } })).toBe('~/v[0-9]+')
    expect(describeMatch({})).toBe('else')
  })
})
