// The oldest Envoy that is served, by what its node says of itself: Consul's rule, and its oldest minor version. Asked by proxy-admission.ts.
// Invariant: only Envoy is judged, and only where it names its version; our sidecars and programs that stand for Envoy are served at every version.
import type { Node } from '../../xds/gen/envoy/config/core/v3/base_pb.js'

const ENVOY = 'envoy'
/** Of Consul 1.22 (consul-version.ts). */
const OLDEST = { major: 1, minor: 32 }

/** Why this Envoy is not served, or undefined. */
export function tooOldEnvoy({ userAgentName, userAgentVersionType }: Node): string | undefined {
  if (userAgentName !== ENVOY || userAgentVersionType.case !== 'userAgentBuildVersion') return undefined
  const { version } = userAgentVersionType.value
  if (version === undefined) return undefined
  const { majorNumber, minorNumber, patch } = version
  if (majorNumber > OLDEST.major || (majorNumber === OLDEST.major && minorNumber >= OLDEST.minor)) return undefined
  return `Envoy ${majorNumber}.${minorNumber}.${patch} is too old and is not supported by Consul: ${OLDEST.major}.${OLDEST.minor} is the oldest`
}
