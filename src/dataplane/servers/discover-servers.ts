// The servers that -addresses stands for: an IP address itself, a name by the system's resolver, or what `exec=COMMAND ARGUMENTS` prints. Called by
// ConsulServers when it knows nobody it has not tried. Invariant: a command gets no shell, a bounded time and a bounded room for its output.
import { execFile } from 'node:child_process'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'

const EXEC = 'exec='
const EXEC_TIMEOUT_MS = 30_000
const MAX_OUTPUT_BYTES = 64 * 1024
const MAX_REASON_CHARS = 1024

/** IP addresses; rejects with one line. */
export async function discoverServers(addresses: string): Promise<readonly string[]> {
  if (isIP(addresses) !== 0) return [addresses]
  if (addresses.startsWith(EXEC)) return printedAddresses(addresses.slice(EXEC.length))
  try {
    return (await lookup(addresses, { all: true })).map(({ address }) => address)
  } catch (error) {
    throw new Error(`the name ${addresses} cannot be resolved: ${(error as Error).message}`)
  }
}

async function printedAddresses(line: string): Promise<readonly string[]> {
  const [command, ...words] = line.split(/\s+/).filter(word => word !== '')
  if (command === undefined) throw new Error('-addresses exec=: names no command')
  const output = await new Promise<string>((resolve, reject) => {
    execFile(command, words, { timeout: EXEC_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${command}: ${stderr.trim().slice(0, MAX_REASON_CHARS) || error.message}`))
    })
  })
  const found = output
    .split(/\s+/)
    .filter(word => word !== '')
    .map(word => word.replace(/^"(.*)"$/, '$1'))
  if (found.length === 0) throw new Error(`${command}: printed no address`)
  const wrong = found.find(address => isIP(address) === 0)
  if (wrong !== undefined) throw new Error(`${command}: printed "${wrong.slice(0, MAX_REASON_CHARS)}", which is no IP address`)
  return found
}
