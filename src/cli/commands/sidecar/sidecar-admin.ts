// The admin API of one sidecar, as commands ask it. Used by explain and why. Invariant: what was asked goes in the body, so that no header of
// the request in question stands in a log.
import { ControlApi } from '../../command-line/control-api.js'

export function sidecarAdmin(address: string): ControlApi {
  return new ControlApi({ address, subject: 'the sidecar', hint: '--admin says where its admin listens' })
}
