// The DNS service of the control plane, wired from its options: directory, answers, recursors, server. Called by `ControlPlane`.
// Invariant: an address that was asked for by name is had or the start fails; the default one, which another agent of this machine may
// well have, is only missed aloud.
import type { HostPort } from '../http-api/listen-addresses.js'
import { bindReason, formatAddress } from '../http-api/listen-addresses.js'
import { type DirectorySource, DnsDirectory } from './directory.js'
import { DnsAnswers, type QueryInstances } from './dns-answers.js'
import { dnsDomains } from './dns-domains.js'
import type { AskedRights } from './dns-rights.js'
import { DnsServer } from './dns-server.js'
import { Recursors } from './recursors.js'

export interface DnsOptions {
  readonly address: HostPort
  /** The address is only the default: when it is taken the control plane serves without DNS. */
  readonly isDefault?: boolean
  /** Default `consul`. */
  readonly domain?: string
  readonly altDomain?: string
  readonly recursors?: readonly HostPort[]
  /** Only instances with no check that warns. */
  readonly onlyPassing?: boolean
  readonly nodeTtlSeconds?: number
  /** By service name, `prefix*` or `*`. */
  readonly serviceTtlSeconds?: ReadonlyMap<string, number>
}

export interface DnsSources {
  readonly catalog: DirectorySource['catalog']
  readonly datacenter: string
  readonly executeQuery: (name: string, directory: DnsDirectory) => QueryInstances | undefined
  readonly peers: DirectorySource['peers']
  readonly virtualIp: (service: string, peer: string | undefined) => string | undefined
  /** Of questions on the port. */
  readonly rights: () => AskedRights
  readonly onProblem: (reason: string) => void
}

export interface RunningDns {
  readonly address: HostPort | undefined
  resolve(message: Buffer, tcp: boolean, rights: AskedRights): Promise<Buffer | undefined>
  close(): Promise<void>
}

/** Rejects with one line that names the option. */
export async function startDns(options: DnsOptions, sources: DnsSources): Promise<RunningDns> {
  const directory = new DnsDirectory({ catalog: sources.catalog, peers: sources.peers, onlyPassing: options.onlyPassing ?? false })
  const answers = new DnsAnswers({
    directory,
    domains: dnsDomains(options),
    datacenter: sources.datacenter,
    nodeTtlSeconds: options.nodeTtlSeconds ?? 0,
    serviceTtlSeconds: options.serviceTtlSeconds ?? new Map(),
    executeQuery: name => sources.executeQuery(name, directory),
    virtualIp: sources.virtualIp,
    now: Date.now,
    random: Math.random,
  })
  const recursors = new Recursors(options.recursors ?? [])
  const server = new DnsServer({ answers, recursors, rights: sources.rights, onProblem: sources.onProblem })
  const resolve: RunningDns['resolve'] = (message, tcp, rights) => server.resolve(message, tcp, rights)
  try {
    const address = await server.listen(options.address)
    return { address, resolve, close: () => server.close() }
  } catch (error) {
    await server.close()
    const reason = `--dns-addr ${formatAddress(options.address)}: ${bindReason(error as Error)}`
    if (options.isDefault !== true) throw new Error(reason)
    sources.onProblem(`${reason}; DNS is not served`)
    return { address: undefined, resolve, close: async () => {} }
  }
}
