// The endpoint where other trust domains fetch our bundle, with a certificate of the control plane's own identity that renews itself. Opened by
// `ControlPlane` for `--spiffe-bundle-addr`.
import { ServerCertificate, type ServerCertificateOptions } from '../certificates/server-certificate.js'
import { parseAddress } from '../http-api/listen-addresses.js'
import { BundleEndpoint, type OwnBundle } from './own-bundle.js'

/** Rejects with one line that names the option. */
export async function openBundleEndpoint(
  text: string,
  bundle: OwnBundle,
  identity: Omit<ServerCertificateOptions, 'onChange'>,
): Promise<BundleEndpoint> {
  const address = parseAddress(text, '--spiffe-bundle-addr')
  let endpoint: BundleEndpoint | undefined
  const certificate = new ServerCertificate({
    ...identity,
    addresses: [...identity.addresses, address.host],
    onChange: () => endpoint?.refresh(),
  })
  await certificate.start()
  try {
    endpoint = await BundleEndpoint.listen(address, bundle, certificate)
    return endpoint
  } catch (error) {
    certificate.stop()
    throw new Error(`--spiffe-bundle-addr ${text}: ${(error as Error).message}`)
  }
}
