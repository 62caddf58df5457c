// IDs as people write them: whole, or as much of the beginning as is unique. Used by the ACL commands.
import { CliError } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export async function findId(given: string, path: string, key: 'ID' | 'AccessorID', api: ControlApi): Promise<string> {
  if (UUID.test(given)) return given
  const ids = (await api.getJson<readonly Record<string, string>[]>(path)).map(each => each[key]!).filter(id => id.startsWith(given))
  if (ids.length === 1) return ids[0]!
  throw new CliError(ids.length === 0 ? `no ID begins with ${given}` : `${ids.length} IDs begin with ${given}: give more of it`)
}
