import { describe, expect, it } from 'vitest'
import { type CaConfig, decodeCaConfig, encodeCaConfig } from '../../../../src/mtls/ca/config.js'
import { filesOfVault, type VaultProviderConfig, withKnownLogin } from '../../../../src/mtls/ca/vault/vault-config.js'

const given = { Address: 'https://vault.example:8200', RootPKIPath: 'connect_root', IntermediatePKIPath: 'connect_inter' }

const problems = (fields: Record<string, unknown>): string[] => {
  const result = decodeCaConfig({ Provider: 'vault', Config: { ...given, ...fields } })
  return result.ok ? [] : result.problems.map(({ path, reason }) => `${path}: ${reason}`)
}

function decoded(fields: Record<string, unknown>): CaConfig & { readonly provider: VaultProviderConfig } {
  const result = decodeCaConfig({ Provider: 'vault', Config: { ...given, ...fields } })
  if (!result.ok || result.config.provider.kind !== 'vault') throw new Error(JSON.stringify(result))
  return { ...result.config, provider: result.config.provider }
}

const method = (Type: string, Params: object, rest: object = {}) => ({ AuthMethod: { Type, Params, ...rest } })

describe('the configuration of the provider "vault"', () => {
  it("reads Consul's fields, in both spellings", () => {
    const fields = {
      Token: 'hvs.x',
      Namespace: 'team/',
      RootPKINamespace: 'a',
      IntermediatePKINamespace: 'b',
      CAFile: '/ca.pem',
      CertFile: '/c.pem',
      KeyFile: '/k.pem',
      TLSServerName: 'vault',
      TLSSkipVerify: true,
      LeafCertTTL: '24h',
    }
    const { provider, leafCertTtlMs } = decoded(fields)
    expect(leafCertTtlMs).toBe(24 * 3_600_000)
    expect(provider).toEqual({
      kind: 'vault',
      vault: {
        address: 'https://vault.example:8200',
        namespace: 'team',
        tls: { caFile: '/ca.pem', caPath: '', certFile: '/c.pem', keyFile: '/k.pem', serverName: 'vault', skipVerify: true },
        login: { kind: 'token', token: 'hvs.x' },
      },
      rootPath: 'connect_root',
      rootNamespace: 'a',
      intermediatePath: 'connect_inter',
      intermediateNamespace: 'b',
    })
    const snake = decodeCaConfig({
      Provider: 'vault',
      Config: {
        address: 'https://vault.example:8200/',
        root_pki_path: '/connect_root/',
        intermediate_pki_path: 'connect_inter/',
        root_pki_namespace: 'a',
        intermediate_pki_namespace: 'b',
        token: 'hvs.x',
        namespace: 'team',
        ca_file: '/ca.pem',
        cert_file: '/c.pem',
        key_file: '/k.pem',
        tls_server_name: 'vault',
        tls_skip_verify: true,
        leaf_cert_ttl: '24h',
      },
    })
    expect(snake).toMatchObject({ ok: true, config: { provider } })
  })

  it('reads the auth methods, as JSON and as a block of HCL', () => {
    expect(decoded(method('approle', { role_id_file_path: '/r', secret_id_file_path: '/s' })).provider.vault.login).toEqual({
      kind: 'approle',
      mountPath: 'approle',
      roleId: '',
      roleIdFile: '/r',
      secretId: '',
      secretIdFile: '/s',
    })
    const block = { auth_method: [{ type: 'kubernetes', mount_path: 'clusters/one', params: [{ role: 'mesh' }] }] }
    expect(decoded(block).provider.vault.login).toEqual({
      kind: 'kubernetes',
      mountPath: 'clusters/one',
      role: 'mesh',
      tokenFile: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    })
    expect(decoded(method('jwt', { role: 'mesh', path: '/jwt' }, { MountPath: 'jwt-prod' })).provider.vault.login).toEqual({
      kind: 'jwt',
      mountPath: 'jwt-prod',
      role: 'mesh',
      jwt: '',
      jwtFile: '/jwt',
    })
  })

  it.each([
    [{}, 'Token: must provide a Vault token or configure a Vault auth method'],
    [
      { Token: 'x', ...method('jwt', { role: 'a', jwt: 'b' }) },
      'AuthMethod: only one of Vault token or Vault auth method can be provided, but not both',
    ],
    [{ Token: 'x', RootPKIPath: '' }, 'RootPKIPath: must provide a valid path to a root PKI backend'],
    [{ Token: 'x', IntermediatePKIPath: '' }, 'IntermediatePKIPath: must provide a valid path for the intermediate PKI backend'],
    [{ Token: 'x', RootPKIPath: '../sys' }, 'RootPKIPath: must provide a valid path to a root PKI backend'],
    [{ Token: 'x', IntermediatePKIPath: 'connect_root/' }, 'IntermediatePKIPath: must be another mount than RootPKIPath'],
    [{ Token: 'x', Address: '' }, 'Address: is required'],
    [{ Token: 'x', Address: 'vault:8200' }, 'Address: must be a URL such as "https://vault.example.com:8200", with neither query nor user'],
    [{ Token: 'x\n' }, 'Token: holds characters that no token has'],
    [{ Token: 'x', CertFile: '/c' }, 'CertFile: CertFile and KeyFile must be given together'],
    [{ Token: 'x', TLSSkipVerify: 'yes' }, 'TLSSkipVerify: must be true or false'],
    [{ Token: 'x', Namespace: 'a b' }, 'Namespace: "a b" is no path of a namespace'],
    [method('aws', { role: 'x' }), 'AuthMethod.Type: must be "approle", "kubernetes" or "jwt", is "aws": others are not offered'],
    [method('approle', {}), 'AuthMethod.Params.role_id: role_id or role_id_file_path is required'],
    [method('approle', { role_id: 'a', role_id_file_path: '/a' }), 'AuthMethod.Params.role_id_file_path: excludes role_id'],
    [method('kubernetes', {}), 'AuthMethod.Params.role: is required'],
    [method('kubernetes', { role: '' }), 'AuthMethod.Params.role: is required'],
    [method('jwt', { role: 'a', path: '/j', audience: 'x' }), 'AuthMethod.Params.audience: is no parameter of this method'],
    [method('jwt', { role: 'a', path: '/j' }, { Mount: 'x' }), 'AuthMethod.mount: is no field of an auth method'],
    [method('jwt', { role: 'a', path: '/j' }, { MountPath: 'x y' }), 'AuthMethod.MountPath: "x y" is no path of an auth method'],
    [{ Token: 'x', RootCert: 'pem' }, 'RootCert: is not a field of this provider'],
  ])('refuses %j', (fields, expected) => {
    expect(problems(fields)).toEqual([expected])
  })

  it('is shown without its secrets, and may be written back so', () => {
    for (const fields of [
      { Token: 'hvs.hidden' },
      method('approle', { role_id: 'r', secret_id: 'hidden' }),
      method('jwt', { role: 'r', jwt: 'hidden' }),
    ]) {
      const config = decoded(fields)
      const shown = encodeCaConfig(config)
      expect(JSON.stringify(shown)).not.toContain('hidden')
      const body = { ...shown, Config: withKnownLogin(shown.Config as Record<string, unknown>, config.provider) }
      expect(decodeCaConfig(body)).toEqual({ ok: true, config })
      const elsewhere = withKnownLogin({ ...shown.Config, Address: 'https://evil.example' }, config.provider)
      expect(JSON.stringify(elsewhere)).not.toContain('hidden')
      const unchecked = withKnownLogin({ ...shown.Config, TLSSkipVerify: true }, config.provider)
      expect(JSON.stringify(unchecked)).not.toContain('hidden')
    }
  })

  it('tells which files of this host it names', () => {
    expect(filesOfVault(decoded({ Token: 'x' }).provider)).toEqual([])
    const fields = { CAFile: '/ca', CertFile: '/c', KeyFile: '/k', ...method('kubernetes', { role: 'r', token_path: '/t' }) }
    expect(filesOfVault(decoded(fields).provider)).toEqual(['/ca', '/c', '/k', '/t'])
  })
})
