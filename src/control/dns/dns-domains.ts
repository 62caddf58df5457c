// The domains that the mesh's names end with. Asked by whoever answers questions of them, puts them into certificates or keeps them for the mesh.

const DEFAULT_DNS_DOMAIN = 'consul'

/** As questions are compared with them: in lower case, without a dot at the end. */
export function dnsDomains(options: { readonly domain?: string; readonly altDomain?: string } | undefined): string[] {
  const { domain = DEFAULT_DNS_DOMAIN, altDomain } = options ?? {}
  return [domain, ...(altDomain === undefined ? [] : [altDomain])].map(name => name.toLowerCase().replace(/\.$/, ''))
}
