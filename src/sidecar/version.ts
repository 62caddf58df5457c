// What the program says of itself. The five parts of the version line are what launchers of Envoy parse.

export const OUTRIGGER_VERSION = '0.1.0'
/** The Envoy release whose behaviour and names the proxy stands for. */
export const ENVOY_VERSION = '1.40.0'
export const USER_AGENT_NAME = 'outrigger'

/** `<revision>/<version>/<status>/<build>/<ssl>`. */
export function envoyVersionString(): string {
  return `${revision(OUTRIGGER_VERSION)}/${ENVOY_VERSION}/Clean/RELEASE/OpenSSL-${process.versions.openssl}`
}

/** The number of ours in a version line; of another program that which it has itself. */
export function releaseOf(versionLine: string, isOurs: boolean): string {
  const [commit = '', version = ''] = versionLine.split('/')
  const digits = /^((?:[0-9a-f]{2}){3})0*$/.exec(commit)?.[1]
  return isOurs && digits !== undefined
    ? digits
        .match(/../g)!
        .map(part => Number.parseInt(part, 16))
        .join('.')
    : version
}

/** In the place of Envoy's commit: two hex digits for each number of our version, then zeros. `server.version` shows the first six. */
function revision(version: string): string {
  const digits = version.split('.').map(part => Number(part).toString(16).padStart(2, '0'))
  return digits.join('').padEnd(40, '0')
}
