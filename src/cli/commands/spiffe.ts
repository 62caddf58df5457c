// `outrigger spiffe …`: the bundle of our trust domain, and federations with others. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import type { CommandIo } from '../command-line/command-io.js'
import { FORMAT_OPTION, formatFields, formatTable, JSON_OPTION, printAs, printDone } from '../command-line/print.js'

interface Federation {
  readonly Name: string
  readonly TrustDomain: string
  readonly BundleEndpointURL: string
  readonly BundleEndpointProfile: string
  readonly EndpointSPIFFEID: string
  readonly IDTemplate: string
  readonly Mesh: boolean
  readonly Bundle: { readonly RootCerts: readonly string[]; readonly Sequence: number | null } | null
  readonly LastFetched: string | null
  readonly Problem: string
}

interface FederateFlags {
  readonly name: string
  readonly trustDomain: string
  readonly bundleEndpointUrl?: string
  readonly bundleEndpointProfile?: string
  readonly endpointSpiffeId?: string
  readonly trustBundle?: string
  readonly idTemplate?: string
  readonly mesh?: boolean
  readonly json?: boolean
}

interface NamedFlags {
  readonly name: string
  readonly json?: boolean
}

const pathOf = (name: string): string => `/v1/outrigger/spiffe/federation/${encodeURIComponent(name)}`

export function addSpiffe(program: Command, io: CommandIo): void {
  const spiffe = program.command('spiffe').description('trust domains: our own bundle, and federations with others')
  const named = (name: string, description: string): Command =>
    spiffe.command(name).description(description).requiredOption('--name <name>', 'the federation, by our name of it')

  remote(spiffe.command('bundle').description('the bundle of our trust domain, as others take it'), io, async api => {
    io.out(`${JSON.stringify(await api.getJson('/v1/outrigger/spiffe/bundle'), null, 2)}\n`)
  })

  const federate = named('federate', 'trust the workloads of another trust domain, each by its own bundle')
    .requiredOption('--trust-domain <name>', 'such as example.org')
    .option('--bundle-endpoint-url <url>', 'where its bundle is fetched, again and again')
    .option('--bundle-endpoint-profile <profile>', 'https_web or https_spiffe (default: https_web)')
    .option('--endpoint-spiffe-id <id>', 'who serves it, with https_spiffe')
    .option('--trust-bundle <file>', 'its bundle of now: a SPIFFE bundle in JSON, or CA certificates in PEM')
    .option('--id-template <id>', 'how it writes the ids of its services: spiffe://example.org/{service}')
    .option('--mesh', 'its workloads are services of this mesh: every sidecar trusts it')
    .option(...JSON_OPTION)
  remote(federate, io, async (api, flags: FederateFlags) => {
    await api.putJson(pathOf(flags.name), {
      TrustDomain: flags.trustDomain,
      ...(flags.bundleEndpointUrl === undefined ? {} : { BundleEndpointURL: flags.bundleEndpointUrl }),
      ...(flags.bundleEndpointProfile === undefined ? {} : { BundleEndpointProfile: flags.bundleEndpointProfile }),
      ...(flags.endpointSpiffeId === undefined ? {} : { EndpointSPIFFEID: flags.endpointSpiffeId }),
      ...(flags.trustBundle === undefined ? {} : { TrustBundle: io.readText(flags.trustBundle) }),
      ...(flags.idTemplate === undefined ? {} : { IDTemplate: flags.idTemplate }),
      ...(flags.mesh === true ? { Mesh: true } : {}),
    })
    const made = { Name: flags.name, TrustDomain: flags.trustDomain }
    printDone(flags.json, made, `Federated with ${flags.trustDomain} as ${flags.name}`, io)
  })

  const list = spiffe
    .command('list')
    .description('all federations, and how they are')
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { format }: { format?: string }) => {
    const federations = await api.getJson<Federation[]>('/v1/outrigger/spiffe/federations')
    const rows = federations.map(({ Name, TrustDomain, Mesh, Bundle, Problem }) => [
      Name,
      TrustDomain,
      Mesh ? 'mesh' : 'other',
      Bundle === null ? 'none yet' : `${Bundle.RootCerts.length} CAs`,
      Problem || 'ok',
    ])
    const table = formatTable(['Name', 'Trust Domain', 'Workloads', 'Bundle', 'State'], rows)
    printAs(format, federations, () => (rows.length === 0 ? 'There are no federations.\n' : table), io)
  })

  remote(
    named('read', 'one federation, whole').option(...FORMAT_OPTION),
    io,
    async (api, { name, format }: { name: string; format?: string }) => {
      const found = await api.getJson<Federation>(pathOf(name))
      printAs(format, found, () => describe(found), io)
    },
  )

  remote(named('refresh', 'fetch its bundle now').option(...JSON_OPTION), io, async (api, { name, json }: NamedFlags) => {
    const fetched = await api.putJson<Federation>(`${pathOf(name)}/refresh`, undefined)
    const { TrustDomain, Bundle } = fetched
    printDone(json, fetched, `The bundle of ${TrustDomain} has ${Bundle?.RootCerts.length ?? 0} CA certificates`, io)
  })

  remote(named('delete', 'trust it no longer').option(...JSON_OPTION), io, async (api, { name, json }: NamedFlags) => {
    await api.delete(pathOf(name))
    printDone(json, { Deleted: name }, `Ended the federation ${name}`, io)
  })
}

function describe(federation: Federation): string {
  const { Name, TrustDomain, BundleEndpointURL, BundleEndpointProfile, EndpointSPIFFEID, IDTemplate, Mesh, Bundle, LastFetched, Problem } =
    federation
  return formatFields([
    ['Name', Name],
    ['TrustDomain', TrustDomain],
    ['BundleEndpointURL', BundleEndpointURL || 'none: the bundle is set by hand'],
    ['Profile', EndpointSPIFFEID === '' ? BundleEndpointProfile : `${BundleEndpointProfile} (${EndpointSPIFFEID})`],
    ['IDTemplate', IDTemplate || 'none'],
    ['Mesh', String(Mesh)],
    ['CA certificates', String(Bundle?.RootCerts.length ?? 0)],
    ['Sequence', String(Bundle?.Sequence ?? 'none')],
    ['LastFetched', LastFetched ?? 'never'],
    ['Problem', Problem || 'none'],
  ])
}
