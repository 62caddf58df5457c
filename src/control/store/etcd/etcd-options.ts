// Where an etcd is and how it is spoken to: `--store etcd://host:2379,host2:2379` with the flags beside it, as `etcdctl` users know them. Read
// once by the command line and by `ControlPlane`; the rest of this folder takes what comes out.
// Invariant: what can't be meant is refused in one line that names the flag.
import { readFileSync } from 'node:fs'

export interface EtcdStoreOptions {
  /** `etcd://host:port,…` or `etcds://` for TLS. */
  readonly store: string
  /** Before every key; clusters of one etcd are told apart by it. */
  readonly prefix?: string
  /** Files, PEM. */
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
  /** A file with one line, `name:password`. */
  readonly userFile?: string
}

export interface EtcdAddress {
  readonly endpoints: readonly string[]
  readonly prefix: string
  readonly tls: { readonly ca: Buffer | undefined; readonly cert: Buffer | undefined; readonly key: Buffer | undefined } | undefined
  readonly user: { readonly name: string; readonly password: string } | undefined
}

const DEFAULT_PORT = 2379
const DEFAULT_PREFIX = '/outrigger'
const MAX_ENDPOINTS = 64

/** Throws one line that names the flag. */
export function readEtcdOptions({ store, prefix, caFile, certFile, keyFile, userFile }: EtcdStoreOptions): EtcdAddress {
  const match = /^(etcds?):\/\/([^/]+)\/?$/.exec(store)
  if (match === null) throw new Error(`--store ${store}: must be etcd://HOST:PORT,HOST:PORT or etcds:// for TLS`)
  const endpoints = match[2]!.split(',').map(endpoint => withPort(endpoint.trim(), store))
  if (endpoints.length > MAX_ENDPOINTS) throw new Error(`--store: ${endpoints.length} addresses, the limit is ${MAX_ENDPOINTS}`)
  const secure = match[1] === 'etcds'
  const files = [caFile, certFile, keyFile]
  if (!secure && files.some(file => file !== undefined))
    throw new Error('--store-cacert, --store-cert and --store-key are for etcds://, and --store begins with etcd://')
  if ((certFile === undefined) !== (keyFile === undefined)) throw new Error('--store-cert and --store-key belong together')
  return {
    endpoints,
    prefix: readPrefix(prefix),
    tls: secure
      ? { ca: read('--store-cacert', caFile), cert: read('--store-cert', certFile), key: read('--store-key', keyFile) }
      : undefined,
    user: userFile === undefined ? undefined : readUser(userFile),
  }
}

function withPort(endpoint: string, store: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(endpoint)
  const port = Number(match?.[2] ?? DEFAULT_PORT)
  if (match === null || port === 0 || port > 65_535) throw new Error(`--store ${store}: "${endpoint}" is no HOST:PORT`)
  return `${match[1]}:${port}`
}

function readPrefix(prefix = DEFAULT_PREFIX): string {
  const bare = prefix.replace(/\/+$/, '')
  if (!/^\/[\x21-\x7e]{1,255}$/.test(bare)) throw new Error(`--store-prefix ${prefix}: must begin with / and have no spaces in it`)
  return bare
}

function read(flag: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file)
  } catch (error) {
    throw new Error(`${flag} ${file}: ${(error as Error).message}`)
  }
}

function readUser(file: string): { name: string; password: string } {
  const line = read('--store-user-file', file)!.toString('utf8').trim()
  const colon = line.indexOf(':')
  if (colon < 1 || line.includes('\n')) throw new Error(`--store-user-file ${file}: must hold one line, NAME:PASSWORD`)
  return { name: line.slice(0, colon), password: line.slice(colon + 1) }
}
