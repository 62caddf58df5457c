// What the program says of itself. The five parts of the version line are what launchers of Envoy parse.

export const OUTRIGGER_VERSION = '0.1.0'
/** The Envoy release whose behaviour and names the proxy stands for. */
export const ENVOY_VERSION = '1.40.0'
export const USER_AGENT_NAME = 'outrigger'

/** `<revision>/<version>/<status>/<build>/<ssl>`. */
export function envoyVersionString(): string {
  return `0000000000000000000000000000000000000000/${ENVOY_VERSION}/Clean/RELEASE/OpenSSL-${process.versions.openssl}`
}
