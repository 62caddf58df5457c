// Reads a federation as its operator writes it, and gives the record or every problem with its path. Called by the HTTP API. What needs the other
// federations and the mesh's own trust domain is judged by federations.ts.
import { checkTrustDomain, parseSpiffeId } from '../../mtls/spiffe.js'
import { FieldReader, isObject } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import { PEER_NAME } from '../peering/peer-name.js'
import { readBundleText } from './bundle-document.js'
import type { EndpointProfile, FederatedBundle, FederationRecord } from './federation-types.js'
import { templateProblem } from './id-template.js'
import { trustDomainOf } from './workload-ids.js'

const PROFILES: readonly EndpointProfile[] = ['https_web', 'https_spiffe']
const MAX_URL_CHARS = 2_048

export function parseFederation(
  raw: unknown,
  name: string,
): { readonly record: FederationRecord } | { readonly errors: readonly ConfigError[] } {
  if (!isObject(raw)) return { errors: [{ path: '', reason: 'must be an object' }] }
  const errors: ConfigError[] = []
  // The bundle is longer than other strings may be.
  const { TrustBundle: trustBundle, ...rest } = raw
  const fields = new FieldReader(rest, '', errors)
  fields.ignore('CreateIndex', 'ModifyIndex', 'Bundle', 'LastFetched', 'Problem')
  const Name = fields.string('Name', name)
  if (Name !== name) fields.fail('Name', `must be ${JSON.stringify(name)}, as in the path`)
  if (!PEER_NAME.test(name)) fields.fail('Name', 'must be a label of DNS, as names of peers are: intentions name it as one')
  const TrustDomain = fields.string('TrustDomain')
  const domainError = checkTrustDomain(TrustDomain)
  if (domainError !== undefined) fields.fail('TrustDomain', domainError.reason)
  const endpoint = readEndpoint(fields, TrustDomain)
  const IDTemplate = fields.string('IDTemplate')
  const templateError = IDTemplate === '' ? undefined : templateProblem(IDTemplate, true)
  if (templateError !== undefined) fields.fail('IDTemplate', templateError)
  else if (IDTemplate !== '' && trustDomainOf(IDTemplate.replace(/\{\w+\}/g, 'x')) !== TrustDomain)
    fields.fail('IDTemplate', `is of another trust domain than ${JSON.stringify(TrustDomain)}`)
  const Mesh = fields.boolean('Mesh')
  const bundle = trustBundle === undefined || trustBundle === '' ? undefined : readGiven(trustBundle, fields)
  if (bundle === undefined && endpoint.BundleEndpointURL === '') fields.fail('TrustBundle', 'is required without a BundleEndpointURL')
  fields.refuseUnknown()
  if (errors.length > 0) return { errors }
  return { record: { Name, TrustDomain, ...endpoint, IDTemplate, Mesh, ...(bundle === undefined ? {} : { bundle }) } }
}

type Endpoint = Pick<FederationRecord, 'BundleEndpointURL' | 'BundleEndpointProfile' | 'EndpointSPIFFEID'>

function readEndpoint(fields: FieldReader, trustDomain: string): Endpoint {
  const BundleEndpointURL = fields.string('BundleEndpointURL')
  const profile = fields.string('BundleEndpointProfile', 'https_web')
  const id = fields.string('EndpointSPIFFEID')
  if (BundleEndpointURL !== '') {
    const url = URL.canParse(BundleEndpointURL) ? new URL(BundleEndpointURL) : undefined
    if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '' || BundleEndpointURL.length > MAX_URL_CHARS)
      fields.fail('BundleEndpointURL', `must be an https URL without user information, of at most ${MAX_URL_CHARS} characters`)
  }
  const BundleEndpointProfile = PROFILES.find(known => known === profile)
  if (BundleEndpointProfile === undefined) fields.fail('BundleEndpointProfile', `must be one of ${PROFILES.join(', ')}`)
  if (BundleEndpointProfile !== 'https_spiffe' && id !== '') fields.fail('EndpointSPIFFEID', 'is of the profile https_spiffe')
  if (BundleEndpointProfile === 'https_spiffe') {
    const parsed = parseSpiffeId(id)
    if (!parsed.ok) fields.fail('EndpointSPIFFEID', parsed.error.reason)
    // Of another one it would be verified by a bundle that this relationship does not hold.
    else if (parsed.id.trustDomain !== trustDomain) fields.fail('EndpointSPIFFEID', `is not of the trust domain ${trustDomain}`)
  }
  return { BundleEndpointURL, BundleEndpointProfile: BundleEndpointProfile ?? 'https_web', EndpointSPIFFEID: id }
}

function readGiven(text: unknown, fields: FieldReader): FederatedBundle | undefined {
  const read = readBundleText(typeof text === 'string' ? text : JSON.stringify(text))
  if (read.ok) return read.bundle
  fields.fail('TrustBundle', read.reason)
  return undefined
}
