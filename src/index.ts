// What `import 'outrigger'` gives: a sidecar and a control plane in the importing program, and HTTP filters of its own. This file is the
// whole of the public interface (package.json's `exports` closes the rest); what it exports keeps its meaning within a major version.

export { type ConfigProblem, ConfigRefusedError } from './embed/config-refused-error.js'
export {
  type Applied,
  ControlPlane,
  type ControlPlaneAddresses,
  type ControlPlaneOptions,
  type Declaration,
} from './embed/control-plane.js'
export type { Log, LogLine } from './embed/log-line.js'
export { registerHttpFilter } from './embed/register-http-filter.js'
export { type DrainOptions, type ExplainQuestion, Sidecar, type SidecarOptions } from './embed/sidecar.js'
export type { XdsOptions } from './embed/xds-bootstrap.js'
export type {
  ExplainedChain,
  ExplainedCluster,
  ExplainedEndpoint,
  ExplainedFilter,
  ExplainedListener,
  ExplainedRequest,
  ExplainedRetry,
  ExplainedRoute,
  ExplainedTimeout,
  Explanation,
  PassedRoute,
} from './l7/explain/explanation.js'
export type {
  HttpFilter,
  HttpFilterCall,
  HttpFilterContext,
  HttpFilterCounter,
  HttpFilterExplanation,
  HttpFilterRequest,
  HttpFilterResponse,
  HttpHeaders,
  HttpLocalReply,
  HttpStreamFilter,
  JsonObject,
  JsonValue,
  OpenStreamFilter,
} from './l7/filters/custom/custom-filter.js'
