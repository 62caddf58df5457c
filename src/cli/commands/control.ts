// `outrigger control`: its flags. What it does is in run-control.ts, loaded when it runs, since the control plane is most of the program.
import type { Command } from 'commander'
import { collect } from '../command-line/collect.js'
import type { CommandIo } from '../command-line/command-io.js'
import type { ControlFlags } from './control-options.js'

export function addControl(program: Command, io: CommandIo): void {
  const files: string[] = []
  const addFile = (path: string): readonly string[] => {
    files.push(path)
    return files
  }
  const command = program
    .command('control')
    .description('run the control plane')
    .option('-c, --config <mesh.yaml>', 'services, config entries and default_intention_policy; watched for changes')
    .option('--config-file <file>', "Consul's agent configuration (HCL, JSON); may be given several times", addFile)
    .option('--config-dir <dir>', 'folder of such files, read in the order of their names; may be given several times', addFile)
    .option('--config-format <format>', 'hcl or json, whatever the names of those files end in')
    .option('--http-addr <host:port>', "HTTP API, in Consul's form, or off (default: 127.0.0.1:8500)")
    .option(
      '--https-addr <host:port>',
      "the same over TLS, with a certificate of the mesh's CA unless the configuration names one (Consul: 8501)",
    )
    .option('--grpc-addr <host:port>', 'xDS for the sidecars, or off (default: 127.0.0.1:8502)')
    .option('--grpc-tls-addr <host:port>', 'the same over TLS, beside it (Consul: 8503)')
    .option('--spiffe-bundle-addr <host:port>', 'the SPIFFE bundle of our trust domain for others to federate with, over TLS')
    .option('--allow-open', 'serve addresses beyond loopback without tokens or TLS')
    .option('--dns-addr <host:port>', 'DNS by UDP and TCP, or off (default: 127.0.0.1:8600)')
    .option('--domain <name>', 'the domain that DNS answers for (default: consul)')
    .option('--alt-domain <name>', 'a second one')
    .option('--recursor <ip[:port]>', 'a DNS server to ask for other names; may be given more than once', collect)
    .option('--dns-only-passing', 'leave out instances with a check that warns')
    .option('--dns-node-ttl <duration>', 'TTL of answers about nodes (default: 0s)')
    .option('--dns-service-ttl <name=duration>', 'TTL of answers about a service, prefix* or *; may be given more than once', collect)
    .option('--enable-local-script-checks', 'run script checks that the mesh file names (never those of the HTTP API)')
    .option('--data-dir <dir>', 'where the state lives (default: in memory only)')
    .option(
      '--store <etcd://host:port,…>',
      'keep the state in etcd v3, shared by every control plane that names the same; etcds:// over TLS',
    )
    .option('--store-prefix <path>', 'before every key of it (default: /outrigger)')
    .option('--store-cacert <file>', 'CA bundle that etcd is verified with (PEM; default: those of Node)')
    .option('--store-cert <file>', 'client certificate for etcd (PEM)')
    .option('--store-key <file>', 'its private key (PEM)')
    .option('--store-user-file <file>', 'holds one line, name:password, where etcd has users')
    .option(
      '--restore <file>',
      'go back to this snapshot, state file or backup; the files of before are kept aside; with --store: begin a mesh with it, or with a data directory',
    )
    .option('--accept-loss', 'start with what can be read of a damaged state; the damaged files are kept aside')
    .option('--backup-to <place>', 'keep backups of the state in a folder or s3://bucket/prefix?endpoint=…')
    .option('--backup-every <when>', 'make one so often (6h), or by a cron pattern in UTC ("0 3 * * *"); without it, when asked for')
    .option('--backup-keep <rule>', 'how many stay: a number, or last=4,within=48h,daily=7,weekly=4,monthly=12 (default: 30)')
    .option(
      '--backup-key-file <file>',
      'encrypt them with the first key of this file or vault://… (outrigger keygen); --restore opens them with any of it',
    )
    .option('--backup-s3-credentials-file <file>', 'credentials for S3 (default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)')
    .option('--datacenter <name>', 'default: dc1')
    .option('--node-name <name>', 'default: the host name')
    .option('--node-address <ip>', 'where services without an address of their own are reached (default: 127.0.0.1)')
    .option('--region <name>', 'where this machine is: the region of its node and of the services on it')
    .option('--zone <name>', 'the zone of that region')
    .option('--token <token>', 'required of HTTP clients; better by --token-file or OUTRIGGER_HTTP_TOKEN')
    .option('--token-file <file>', 'the same, read from a file')
    .option('--grpc-token <token>', 'required of sidecars; better by --grpc-token-file or OUTRIGGER_GRPC_TOKEN')
    .option('--grpc-token-file <file>', 'the same, read from a file')
    .option('--grpc-tls-cert <file>', 'serve xDS over TLS with this certificate (PEM)')
    .option('--grpc-tls-key <file>', 'its private key (PEM)')
    .option('--grpc-tls-ca <file>', 'bundle that bootstraps verify it with (default: the certificate itself)')
    .option('--grpc-tls-client-ca <file>', 'require client certificates of this CA')
    .option('--acl', 'ACLs on: tokens, policies and roles decide who may do what')
    .option('--acl-default-policy <policy>', 'allow or deny what no rule speaks of (default: deny)')
    .option(
      '--acl-initial-management-file <file>',
      'holds the secret (a UUID) of a management token that exists from the start (or OUTRIGGER_ACL_INITIAL_MANAGEMENT)',
    )
    .option('--ca-files-by-api', 'let API clients name paths of this host for the CA provider files')
    .option('--ca-config <file>', "the mesh CA's configuration in Consul's form (Provider, Config; YAML or JSON)")
    .option('--ca-key-file <file>', 'key that encrypts private keys in the data directory, or vault://… (or OUTRIGGER_CA_KEY)')
    .option('--vault-config <file>', 'the Vault that vault://… references lead to: Address, Token or AuthMethod, … (HCL, JSON or YAML)')
    .option(
      '--webhook-secret-file <file>',
      'sign the webhooks of rollouts with the secrets of this file (whsec_…, one a line) or vault://…',
    )
    .option('--load-report-interval <duration>', 'how often sidecars report their traffic (default: 10s)')
    .option('--prometheus <url>', 'the Prometheus that scrapes the sidecars: the console shows longer times than an hour by it')
    .option('--sidecar-min-port <port>', 'first port given to sidecars without one (default: 21000)')
    .option('--sidecar-max-port <port>', 'last of them (default: 21255)')
    .option('--no-ui', 'serve no web console (default: at /ui/ of the HTTP API)')
    .option('--log-level <level>', 'trace, debug, info, warning, error, critical, off (default: info)')
    .allowExcessArguments(false)
  command.action(async () => {
    const { configDir: _, ui, ...given } = command.opts<ControlFlags & { configDir?: unknown }>()
    // What the command line does not say is the configuration's to say.
    const flags = ui === false ? { ...given, ui } : given
    await (await import('./run-control.js')).control(files.length === 0 ? flags : { ...flags, configFile: files }, io)
  })
}
