// Where several control planes serve one mesh, each serves its share of the sidecars: one that has many more (it was there first, the others
// were down) refuses new xDS streams and ends some of its own a second, whose proxies go to another server. Made by `ControlPlane`; the rules
// are Consul's (its servers count registered proxies, not streams, and let a tenth more in). Invariant: a single server refuses nobody here.

/** What it needs of the ADS server. */
export interface BalancedStreams {
  readonly streamCount: number
  /** Undefined: its own limit alone. */
  limitStreams(most: number | undefined): void
  /** Ends one, with the reason that makes its client look for another server. */
  shedStream(): void
}

export interface StreamBalanceOptions {
  readonly ads: BalancedStreams
  /** Registered. */
  proxies(): number
  /** That serve the mesh now, this one among them. */
  servers(): number
  onShed(shed: number, most: number): void
}

const ADJUST_MS = 1_000
/** A tenth more than its share, in whole numbers. */
const MARGIN = [11, 10] as const
/** So many proxies for each further stream that is ended in a second, at most. */
const PROXIES_A_STREAM = 256
const MAX_SHED_A_SECOND = 10

export class StreamBalance {
  private readonly options: StreamBalanceOptions
  private timer: NodeJS.Timeout | undefined

  constructor(options: StreamBalanceOptions) {
    this.options = options
  }

  start(): void {
    this.timer = setInterval(() => this.adjust(), ADJUST_MS).unref()
  }

  stop(): void {
    clearInterval(this.timer)
  }

  private adjust(): void {
    const { ads, onShed } = this.options
    const servers = this.options.servers()
    const proxies = servers < 2 ? 0 : this.options.proxies()
    if (proxies === 0) {
      ads.limitStreams(undefined)
      return
    }
    const most = Math.ceil((proxies * MARGIN[0]) / (servers * MARGIN[1]))
    ads.limitStreams(most)
    const excess = Math.min(ads.streamCount - most, shedPerSecond(proxies))
    if (excess <= 0) return
    for (let i = 0; i < excess; i++) ads.shedStream()
    onShed(excess, most)
  }
}

/** One up to 512 proxies, ten from 2,816 on. */
export function shedPerSecond(proxies: number): number {
  return Math.max(1, Math.min(Math.floor(proxies / PROXIES_A_STREAM) - 1, MAX_SHED_A_SECOND))
}
