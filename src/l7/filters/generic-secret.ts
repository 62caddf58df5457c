// A generic secret by name, as filters use it: static, or by SDS, and read anew when it changes. Made by a filter when it is compiled, which
// holds it as long as it lives: the registry holds those who listen weakly.

import type { DataSource, SdsSecretRef } from '../../model/tls.js'
import type { SecretListener, SecretRegistry } from '../../mtls/secrets/secret-registry.js'

/** What of the registry is needed. */
export type SecretSource = Pick<SecretRegistry, 'secret' | 'readBytes' | 'depend'>

export class GenericSecret implements SecretListener {
  /** Bytes, one a character; null while it is not there. */
  value: string | null = null
  private readonly ref: SdsSecretRef
  private readonly secrets: SecretSource
  private source: DataSource | null = null

  constructor(ref: SdsSecretRef, secrets: SecretSource) {
    this.ref = ref
    this.secrets = secrets
    secrets.depend(this, [], [ref])
    this.onSecretChange()
  }

  onSecretChange(): void {
    const { secrets, ref } = this
    const secret = secrets.secret(ref)
    const source = secret !== null && secret.kind === 'generic' ? secret.secret : null
    if (source !== this.source) {
      this.source = source
      secrets.depend(this, source === null ? [] : [source], [ref])
    }
    const read = source === null ? null : secrets.readBytes(source)
    // A file that cannot be read now leaves what was there.
    if (read === null) this.value = null
    else if (read.ok) this.value = read.bytes.toString('latin1')
  }
}
