// outrigger-proxy: flags first, and only when there is something to run the rest of the program: `--version` and `--help` load none of it.
// Launchers ask for the version on every start of theirs.

import { HOT_RESTART_VERSION } from '../sidecar/restart/restart-messages.js'
import { ENVOY_VERSION, envoyVersionString, OUTRIGGER_VERSION } from '../sidecar/version.js'
import { PROXY_HELP, parseProxyFlags } from './proxy-flags.js'

export async function proxyMain(argv: readonly string[]): Promise<void> {
  const flags = parseProxyFlags(argv)
  if (flags.version) {
    process.stdout.write(
      `\noutrigger-proxy  version: ${envoyVersionString()}\n\nOutrigger ${OUTRIGGER_VERSION}, standing for Envoy ${ENVOY_VERSION}\n`,
    )
    return
  }
  if (flags.help) {
    process.stdout.write(PROXY_HELP)
    return
  }
  if (flags.errors.length === 0 && flags.hotRestartVersion) {
    process.stdout.write(`${flags.restartOff ? 'disabled' : HOT_RESTART_VERSION}\n`)
    return
  }
  const { runProxy } = await import('./run-proxy.js')
  await runProxy(flags)
}
