// What only our own control plane has, asked of one that may be a Consul, or older than this command line. Used by plan.ts, intention-preview.ts and
// the commands over its traffic.
import { CliError } from './command-io.js'
import { RefusedError } from './control-api.js'

/** Consul answers 404 to what it has no route for, 405 where it has one of another method. */
const ABSENT = new Set([404, 405])

/** `lacks` completes "this control plane …". */
export async function ofOurs<T>(lacks: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof RefusedError && ABSENT.has(error.statusCode))
      throw new CliError(`this control plane ${lacks}: it is not one of ours, or an older one`)
    throw error
  }
}
