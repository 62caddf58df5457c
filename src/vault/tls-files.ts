// The files that a connection to Vault is made with, as options of `node:https`. Read by the transport, again after a while, so that a renewed
// client certificate or CA needs no restart. Invariant: every file is bounded; one that can't be read is named.

import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { SecureContextOptions } from 'node:tls'
import { type ServerNameOptions, serverNameOptions } from '../io/server-name.js'
import type { VaultTls } from './vault-settings.js'

const MAX_FILE_BYTES = 1024 * 1024
const MAX_CA_FILES = 256

export type TlsOptions = Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & ServerNameOptions & { readonly rejectUnauthorized: boolean }

/** As Vault's own client: the file goes before the folder; with neither, the CAs that Node knows count. */
export async function readTlsFiles(tls: VaultTls): Promise<TlsOptions> {
  const ca = tls.caFile !== '' ? [await readBounded(tls.caFile)] : tls.caPath !== '' ? await readFolder(tls.caPath) : undefined
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(tls.certFile === '' ? {} : { cert: await readBounded(tls.certFile), key: await readBounded(tls.keyFile) }),
    ...(tls.serverName === '' ? {} : serverNameOptions(tls.serverName)),
    rejectUnauthorized: !tls.skipVerify,
  }
}

async function readFolder(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter(name => /\.(pem|crt|cer)$/.test(name)).sort()
  if (names.length === 0) throw new Error(`${folder}: holds no file named *.pem, *.crt or *.cer`)
  if (names.length > MAX_CA_FILES) throw new Error(`${folder}: holds ${names.length} files, the limit is ${MAX_CA_FILES}`)
  return Promise.all(names.map(name => readBounded(join(folder, name))))
}

/** Rejects with one line that names the file. */
export async function readBounded(path: string): Promise<string> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    if (size > MAX_FILE_BYTES) throw new Error(`${path}: has ${size} bytes, the limit is ${MAX_FILE_BYTES}`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}
