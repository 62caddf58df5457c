// The certificate that the control plane's own TLS ports show where the operator has given none: issued by the mesh's CA for
// `server.<datacenter>.<domain>`, `localhost` and the node's names and addresses (Consul's server identity), and for the name that peers dial.
// Made by `ControlPlane`.
// Replaced in the second half of its life and after a change of the root; whoever holds it is told.
// Invariant: there is a certificate from `start` on; a failed renewal leaves the old one and is tried again.
import { isIP } from 'node:net'
import type { CertificateAuthority } from '../../mtls/ca/authority.js'
import { reissueDelayMs, renewAt } from '../../mtls/ca/renewal.js'
import { formatMeshIdentity } from '../../mtls/spiffe.js'

export interface ServerCertificateOptions {
  readonly ca: CertificateAuthority
  readonly datacenter: string
  readonly domain: string
  readonly nodeName: string
  /** Addresses that clients may name; those that are no IP addresses are left out. */
  readonly addresses: readonly string[]
  /** What peers ask for; undefined: nobody dials this port as a peer. */
  readonly peeringName?: string
  readonly onChange: () => void
  readonly onProblem: (reason: string) => void
}

const SIGN_WAIT_MS = 30_000
const RETRY_MS = 30_000
/** Timers count the time that has passed, not the clock, and end at 24.8 days. */
const MAX_TIMER_MS = 3_600_000
const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/

export class ServerCertificate {
  private readonly options: ServerCertificateOptions
  private current: { readonly certPem: string; readonly keyPem: string } | undefined
  private renewAtMs = 0
  private timer: NodeJS.Timeout | undefined
  private unsubscribe: (() => void) | undefined

  constructor(options: ServerCertificateOptions) {
    this.options = options
  }

  async start(): Promise<void> {
    await this.issue()
    this.unsubscribe = this.options.ca.onChange(({ kind }) => {
      if (kind !== 'leaf-reissue') return
      this.renewAtMs = Date.now() + reissueDelayMs(Math.random)
      this.plan()
    })
    this.plan()
  }

  stop(): void {
    clearTimeout(this.timer)
    this.unsubscribe?.()
  }

  get pem(): { readonly certPem: string; readonly keyPem: string } {
    return this.current!
  }

  private plan(): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.renew(), Math.min(MAX_TIMER_MS, Math.max(0, this.renewAtMs - Date.now())))
    this.timer.unref()
  }

  private async renew(): Promise<void> {
    if (Date.now() >= this.renewAtMs) {
      try {
        await this.issue()
        this.options.onChange()
      } catch (error) {
        this.options.onProblem(`certificate of the TLS ports: ${(error as Error).message}`)
        this.renewAtMs = Date.now() + RETRY_MS
      }
    }
    if (this.unsubscribe !== undefined) this.plan()
  }

  private async issue(): Promise<void> {
    const { ca, datacenter, domain, nodeName, addresses, peeringName } = this.options
    const names = [
      `server.${datacenter}.${domain}`,
      `${nodeName}.server.${datacenter}.${domain}`,
      'localhost',
      nodeName,
      ...(peeringName === undefined ? [] : [peeringName]),
    ]
    const leaf = await ca.signer.issue({
      uri: formatMeshIdentity({ kind: 'server', trustDomain: ca.trustDomain, datacenter }),
      dnsSans: [...new Set(names.map(name => name.toLowerCase()).filter(name => DNS_NAME.test(name)))],
      ipSans: [...new Set(['127.0.0.1', '::1', ...addresses.filter(address => isIP(address) !== 0)])],
      maxWaitMs: SIGN_WAIT_MS,
    })
    this.renewAtMs = renewAt(leaf, Math.random)
    this.current = { certPem: leaf.chainPem, keyPem: leaf.keyPem }
  }
}
