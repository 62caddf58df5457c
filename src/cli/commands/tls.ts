// `outrigger tls ca create` and `tls cert create`: a CA and certificates for the agents' own TLS, as files in the current folder, by Consul's
// names. Declared for program.ts. Invariant: a private key lands in a file of mode 0600, and no file is written over.
import { existsSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Command } from 'commander'
import { collect } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { writeNewFile, writeSecret } from '../command-line/files.js'

interface CertFlags {
  readonly server?: boolean
  readonly client?: boolean
  readonly cli?: boolean
  readonly ca: string
  readonly key: string
  readonly days: string
  readonly dc: string
  readonly domain: string
  readonly node?: string
  readonly additionalDnsname?: readonly string[]
  readonly additionalIpaddress?: readonly string[]
}

const SERVER_WARNING = `==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys.
`
/** What can't be wanted is refused before the dates of a certificate overflow. */
const MAX_DAYS = 36_500

export function addTls(program: Command, io: CommandIo): void {
  const tls = program.command('tls').description("certificates for the agents' own TLS (the mesh's are made by its CA)")
  const create = tls
    .command('ca')
    .description('a certificate authority')
    .command('create')
    .description('make a CA: <domain>-agent-ca.pem and <domain>-agent-ca-key.pem in the current folder')
    .option('--domain <name>', 'for the names of the files', 'consul')
    .option('--days <n>', 'how long it is valid', '1825')
    .option('--common-name <name>', 'its subject (default: Consul Agent CA and a number)')
    .option('--cluster-id <id>', 'refused: the CA is that of the agents, not of the mesh')
    .option('--name-constraint', 'refused: names are not constrained')
    .option('--additional-name-constraint <name>', 'refused, too')
    .allowExcessArguments(false)
  create.action(() => createCa(create.opts(), io))
  const certificate = tls
    .command('cert')
    .description('certificates of servers and clients')
    .command('create')
    .description('make a certificate of the CA in the current folder')
    .option('--server', 'of a server')
    .option('--client', 'of an agent of another machine')
    .option('--cli', 'of the command line')
    .option('--ca <file>', 'certificate of the CA', '#DOMAIN#-agent-ca.pem')
    .option('--key <file>', 'its key', '#DOMAIN#-agent-ca-key.pem')
    .option('--days <n>', 'how long it is valid', '365')
    .option('--dc <name>', 'datacenter', 'dc1')
    .option('--domain <name>', 'domain', 'consul')
    .option('--node <name>', 'with --server: name of the node, too')
    .option('--additional-dnsname <name>', 'one more DNS name; may be given several times', collect)
    .option('--additional-ipaddress <ip>', 'one more address; may be given several times', collect)
    .allowExcessArguments(false)
  certificate.action(() => createCertificate(certificate.opts(), io))
}

async function createCa(
  flags: {
    domain: string
    days: string
    commonName?: string
    clusterId?: string
    nameConstraint?: boolean
    additionalNameConstraint?: string
  },
  io: CommandIo,
): Promise<void> {
  if (flags.clusterId !== undefined) throw new CliError('--cluster-id: the CA is that of the agents, not of the mesh')
  if (flags.nameConstraint === true || flags.additionalNameConstraint !== undefined)
    throw new CliError('--name-constraint: names are not constrained here')
  const { createAgentCa } = await import('../../control/certificates/agent-ca.js')
  const serial = `${process.hrtime.bigint()}`
  const pair = await createAgentCa({ commonName: flags.commonName ?? `Consul Agent CA ${serial}`, days: days(flags.days) })
  const name = `${flags.domain}-agent-ca`
  save(name, pair, io)
}

async function createCertificate(flags: CertFlags, io: CommandIo): Promise<void> {
  const { server, client, cli, dc, domain, node } = flags
  const kinds = [server, client, cli].filter(kind => kind === true)
  if (kinds.length !== 1) throw new CliError('exactly one of --server, --client and --cli is needed')
  if (node !== undefined && server !== true) throw new CliError('--node needs --server')
  const kind = server === true ? 'server' : client === true ? 'client' : 'cli'
  const [caFile, keyFile] = [flags.ca, flags.key].map(path => path.replace('#DOMAIN#', domain))
  const { createAgentCertificate } = await import('../../control/certificates/agent-ca.js')
  if (server === true) io.out(SERVER_WARNING)
  io.out(`==> Using ${caFile} and ${keyFile}\n`)
  const badIp = (flags.additionalIpaddress ?? []).find(ip => isIP(ip) === 0)
  if (badIp !== undefined) throw new CliError(`--additional-ipaddress "${badIp}": is no IP address`)
  const names = [
    ...(node === undefined ? [] : [`${node}.server.${dc}.${domain}`]),
    ...(kind === 'cli' ? [`cli.${dc}.${domain}`] : [`${kind}.${dc}.${domain}`, 'localhost']),
  ]
  let pair: { readonly certPem: string; readonly keyPem: string }
  try {
    pair = await createAgentCertificate(
      { certPem: io.readText(caFile!), keyPem: io.readText(keyFile!) },
      {
        dns: [...new Set([...names, ...(flags.additionalDnsname ?? [])])],
        ips: [...(kind === 'cli' ? [] : ['127.0.0.1']), ...(flags.additionalIpaddress ?? [])],
        days: days(flags.days),
      },
    )
  } catch (error) {
    throw error instanceof CliError ? error : new CliError(`${caFile}: ${(error as Error).message}`)
  }
  let number = 0
  const name = (): string => `${dc}-${kind}-${domain}-${number}`
  while (existsSync(`${name()}.pem`) || existsSync(`${name()}-key.pem`)) number++
  save(name(), pair, io)
}

function save(name: string, { certPem, keyPem }: { readonly certPem: string; readonly keyPem: string }, io: CommandIo): void {
  for (const path of [`${name}.pem`, `${name}-key.pem`]) if (existsSync(path)) throw new CliError(`${path} exists`)
  writeNewFile(`${name}.pem`, certPem)
  io.out(`==> Saved ${name}.pem\n`)
  writeSecret(`${name}-key.pem`, keyPem)
  io.out(`==> Saved ${name}-key.pem\n`)
}

function days(text: string): number {
  const value = Number(text)
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > MAX_DAYS) throw new CliError(`--days "${text}": must be 1 to ${MAX_DAYS}`)
  return value
}
