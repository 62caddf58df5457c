// Where each service of the topology stands: in columns from callers to called, ordered within a column so that few edges cross. Pure.
// Loops are cut where the walk meets itself, so every service has a column; services without edges stand apart, below.

export interface LayoutEdge {
  readonly source: string
  readonly destination: string
}

export interface PlacedNode {
  readonly name: string
  readonly x: number
  readonly y: number
}

export interface TopologyLayout {
  readonly nodes: ReadonlyMap<string, PlacedNode>
  readonly width: number
  readonly height: number
}

export const NODE_WIDTH = 176
export const NODE_HEIGHT = 64
const COLUMN_GAP = 184
const ROW_GAP = 34
const MARGIN = 24
/** Passes in which a column is sorted by the middle of its neighbours. */
const SWEEPS = 6
/** A column of more services than this takes a second one beside it. */
const MAX_PER_COLUMN = 14

export function layoutTopology(names: readonly string[], edges: readonly LayoutEdge[]): TopologyLayout {
  const known = new Set(names)
  const real = edges.filter(({ source, destination }) => source !== destination && known.has(source) && known.has(destination))
  const connected = new Set(real.flatMap(({ source, destination }) => [source, destination]))
  const columns = inColumns([...connected].sort(), real)
  sweep(columns, real)
  const alone = names.filter(name => !connected.has(name)).sort()
  return place(columns.flatMap(broken), alone)
}

/** The longest way that leads to a service, without the edges that close a loop. */
function inColumns(names: readonly string[], edges: readonly LayoutEdge[]): string[][] {
  const out = new Map<string, string[]>()
  for (const { source, destination } of edges) out.set(source, [...(out.get(source) ?? []), destination])
  const state = new Map<string, 'open' | 'done'>()
  const order: string[] = []
  const forward = new Map<string, string[]>()
  const visit = (name: string): void => {
    state.set(name, 'open')
    for (const next of (out.get(name) ?? []).sort()) {
      if (state.get(next) === 'open') continue
      forward.set(name, [...(forward.get(name) ?? []), next])
      if (!state.has(next)) visit(next)
    }
    state.set(name, 'done')
    order.push(name)
  }
  const called = new Set(edges.map(({ destination }) => destination))
  for (const name of [...names].sort((a, b) => Number(called.has(a)) - Number(called.has(b)) || (a < b ? -1 : 1)))
    if (!state.has(name)) visit(name)
  const depth = new Map<string, number>()
  for (const name of order.reverse()) {
    const own = depth.get(name) ?? 0
    depth.set(name, own)
    for (const next of forward.get(name) ?? []) depth.set(next, Math.max(depth.get(next) ?? 0, own + 1))
  }
  const columns: string[][] = []
  for (const name of names) (columns[depth.get(name)!] ??= []).push(name)
  return Array.from(columns, column => column ?? [])
}

function sweep(columns: readonly string[][], edges: readonly LayoutEdge[]): void {
  const neighbours = new Map<string, string[]>()
  for (const { source, destination } of edges) {
    neighbours.set(source, [...(neighbours.get(source) ?? []), destination])
    neighbours.set(destination, [...(neighbours.get(destination) ?? []), source])
  }
  for (let pass = 0; pass < SWEEPS; pass++) {
    const position = new Map<string, number>()
    for (const column of columns) column.forEach((name, i) => void position.set(name, (i + 0.5) / column.length))
    const middle = new Map<string, number>()
    for (const column of columns) {
      for (const name of column) {
        const around = (neighbours.get(name) ?? []).map(other => position.get(other)!)
        middle.set(name, around.length === 0 ? position.get(name)! : around.reduce((a, b) => a + b, 0) / around.length)
      }
      column.sort((a, b) => middle.get(a)! - middle.get(b)! || (a < b ? -1 : 1))
    }
  }
}

function broken(column: readonly string[]): string[][] {
  const parts: string[][] = []
  const size = Math.ceil(column.length / Math.ceil(column.length / MAX_PER_COLUMN))
  for (let i = 0; i < column.length; i += size) parts.push(column.slice(i, i + size))
  return parts
}

function place(columns: readonly (readonly string[])[], alone: readonly string[]): TopologyLayout {
  const nodes = new Map<string, PlacedNode>()
  const tallest = Math.max(1, ...columns.map(column => column.length))
  const step = NODE_HEIGHT + ROW_GAP
  columns.forEach((column, c) => {
    const top = MARGIN + ((tallest - column.length) * step) / 2
    column.forEach((name, r) => {
      nodes.set(name, { name, x: MARGIN + c * (NODE_WIDTH + COLUMN_GAP), y: top + r * step })
    })
  })
  const perRow = Math.max(3, columns.length * 2 - 1)
  const below = columns.length === 0 ? MARGIN : MARGIN + tallest * step
  alone.forEach((name, i) => {
    nodes.set(name, { name, x: MARGIN + (i % perRow) * (NODE_WIDTH + 24), y: below + Math.floor(i / perRow) * step })
  })
  const placed = [...nodes.values()]
  return {
    nodes,
    width: Math.max(NODE_WIDTH, ...placed.map(({ x }) => x + NODE_WIDTH)) + MARGIN,
    height: Math.max(NODE_HEIGHT, ...placed.map(({ y }) => y + NODE_HEIGHT)) + MARGIN,
  }
}

/** Points of a curve at which it is held against boxes, and how far it stays away from them. */
const SAMPLES = 24
const CLEARANCE = 6
/** How far beyond a box's edge the middle of a curve may lead around it. */
const DETOURS = [16, 30, 44, 60]
const MAX_WAYS = 24

/** A cubic curve by its four points. */
export type Curve = readonly [number, number, number, number, number, number, number, number]

/** From the right of one box to the left of another; an edge that goes back swings below both. */
function curveOf(from: PlacedNode, to: PlacedNode): Curve {
  const y1 = from.y + NODE_HEIGHT / 2
  const y2 = to.y + NODE_HEIGHT / 2
  if (to.x > from.x) {
    const x1 = from.x + NODE_WIDTH
    const bend = (to.x - x1) / 2
    return [x1, y1, x1 + bend, y1, to.x - bend, y2, to.x, y2]
  }
  const [x1, x2] = [from.x + NODE_WIDTH / 2, to.x + NODE_WIDTH / 2]
  const low = Math.max(from.y, to.y) + NODE_HEIGHT + ROW_GAP
  return [x1, from.y + NODE_HEIGHT, x1, low, x2, low, x2, to.y + NODE_HEIGHT]
}

/** As that, and around the boxes of the columns between: over or under them, whichever is nearer. */
export function routeEdge(from: PlacedNode, to: PlacedNode, nodes: ReadonlyMap<string, PlacedNode>): Curve {
  const direct = curveOf(from, to)
  const between = [...nodes.values()].filter(({ x }) => x > from.x && x < to.x)
  if (!isBlocked(direct, between)) return direct
  const [x1, y1, x2, , x3, , x4, y4] = direct
  const middle = (y1 + y4) / 2
  const ways = between
    .flatMap(({ y }) => DETOURS.flatMap(away => [y - away, y + NODE_HEIGHT + away]))
    .filter(y => y > LABEL_HEIGHT / 2)
    .sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle))
  for (const y of ways.slice(0, MAX_WAYS)) {
    // So that the middle of the curve is there.
    const pulled = (8 * y - y1 - y4) / 6
    const bent: Curve = [x1, y1, x2, pulled, x3, pulled, x4, y4]
    if (!isBlocked(bent, between)) return bent
  }
  return direct
}

function isBlocked(curve: Curve, boxes: readonly PlacedNode[]): boolean {
  for (let i = 1; i < SAMPLES; i++) {
    const [px, py] = pointAt(curve, i / SAMPLES)
    for (const { x, y } of boxes) if (px > x && px < x + NODE_WIDTH && py > y - CLEARANCE && py < y + NODE_HEIGHT + CLEARANCE) return true
  }
  return false
}

/** How far down the curve reaches. */
export function lowestOf(curve: Curve): number {
  let lowest = 0
  for (let i = 0; i <= SAMPLES; i++) lowest = Math.max(lowest, pointAt(curve, i / SAMPLES)[1])
  return lowest
}

export function pathOf([x1, y1, x2, y2, x3, y3, x4, y4]: Curve): string {
  return `M${x1},${y1} C${x2},${y2} ${x3},${y3} ${x4},${y4}`
}

function pointAt([x1, y1, x2, y2, x3, y3, x4, y4]: Curve, t: number): readonly [number, number] {
  const u = 1 - t
  const along = (a: number, b: number, c: number, d: number): number =>
    u * u * u * a + 3 * u * u * t * b + 3 * u * t * t * c + t * t * t * d
  return [along(x1, x2, x3, x4), along(y1, y2, y3, y4)]
}

export const LABEL_HEIGHT = 22
/** Where along its edge a label may stand, best first. */
const LABEL_PLACES = [0.5, 0.42, 0.58, 0.36, 0.64, 0.3, 0.7, 0.24, 0.76]

export interface EdgeLabel {
  readonly curve: Curve
  readonly width: number
}

/** The middle of each label, in their order: on its edge, and on no other label or box while there is such a place. */
export function placeLabels(labels: readonly EdgeLabel[], nodes: ReadonlyMap<string, PlacedNode>): (readonly [number, number])[] {
  const taken = [...nodes.values()].map(({ x, y }) => ({
    x: x + NODE_WIDTH / 2,
    y: y + NODE_HEIGHT / 2,
    width: NODE_WIDTH,
    height: NODE_HEIGHT,
  }))
  const rise = (i: number): number => Math.abs(labels[i]!.curve[7] - labels[i]!.curve[1])
  const placed: (readonly [number, number])[] = []
  // A flat edge has the fewest places for its label: it chooses first.
  for (const i of [...labels.keys()].sort((a, b) => rise(a) - rise(b))) {
    const { width, curve } = labels[i]!
    const hits = ([x, y]: readonly [number, number]): number =>
      taken.filter(box => Math.abs(box.x - x) < (box.width + width) / 2 && Math.abs(box.y - y) < (box.height + LABEL_HEIGHT) / 2).length
    const places = LABEL_PLACES.map(t => pointAt(curve, t))
    const best = places.find(place => hits(place) === 0) ?? places.reduce((a, b) => (hits(b) < hits(a) ? b : a))
    taken.push({ x: best[0], y: best[1], width, height: LABEL_HEIGHT })
    placed[i] = best
  }
  return placed
}
