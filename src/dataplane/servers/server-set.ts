// Which of the known servers is next: one that nobody has tried since the list was last told, the nearest of them, else the one whose turn is longest ago. Used by
// ConsulServers. Invariant: no server is tried twice before all others have been tried once.

export interface NamedServer {
  readonly address: string
  /** 0 = as near as any. */
  readonly distance: number
}

interface Known extends NamedServer {
  /** Counts tries and lists, not time. */
  triedAt: number
  toldAt: number
}

export class ServerSet {
  private known: Known[] = []
  private turn = 0
  private readonly random: () => number

  constructor(random: () => number) {
    this.random = random
  }

  get addresses(): readonly string[] {
    return this.known.map(({ address }) => address)
  }

  /** Every one has been tried since the last list. */
  get exhausted(): boolean {
    return !this.known.some(isUntried)
  }

  /** Some server is nearer than the one at `address`. */
  hasNearer(address: string): boolean {
    const at = this.known.find(server => server.address === address)
    return at !== undefined && this.known.some(({ distance }) => distance < at.distance)
  }

  /** The list as it is now; when each was tried is remembered. */
  replace(servers: readonly NamedServer[]): void {
    const toldAt = ++this.turn
    const before = new Map(this.known.map(server => [server.address, server.triedAt]))
    const named = new Map(servers.map(({ address, distance }) => [address, distance]))
    this.known = [...named].map(([address, distance]) => ({ address, distance, triedAt: before.get(address) ?? 0, toldAt }))
    // Those that were never tried have no order: all dataplanes at the first of a list would be one server's load.
    for (let i = this.known.length - 1; i > 0; i--) {
      const j = Math.floor(this.random() * (i + 1))
      const other = this.known[j]!
      this.known[j] = this.known[i]!
      this.known[i] = other
    }
  }

  /** Takes the next one's turn; undefined where nobody is known. */
  next(): string | undefined {
    const untried = this.known.filter(isUntried)
    const [first] =
      untried.length > 0
        ? untried.sort((a, b) => a.distance - b.distance || a.triedAt - b.triedAt)
        : [...this.known].sort((a, b) => a.triedAt - b.triedAt)
    if (first === undefined) return undefined
    first.triedAt = ++this.turn
    return first.address
  }
}

function isUntried({ triedAt, toldAt }: Known): boolean {
  return triedAt < toldAt
}
