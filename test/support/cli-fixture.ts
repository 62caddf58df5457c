// A control plane in this process and the command line against it: `call('kv', 'get', 'x')` runs the command as bin/outrigger would.
// Invariant: stop() in afterAll leaves nothing running and no folder behind.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runOutrigger } from '../../src/cli/outrigger-main.js'
import { ControlPlane, type ControlPlaneOptions } from '../../src/control/control-plane.js'
import { testIo } from './command-io.js'

export interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

export async function runCommand(argv: readonly string[], env: Readonly<Record<string, string>> = {}, answer?: boolean): Promise<Run> {
  const io = testIo(env, answer)
  const code = await runOutrigger(argv, io)
  return { code, ...io.text }
}

export class CliFixture {
  readonly plane: ControlPlane
  readonly folder = mkdtempSync(join(tmpdir(), 'outrigger-cli-'))
  env: Record<string, string> = {}

  constructor(options: ControlPlaneOptions = {}) {
    this.plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'node-1', ...options })
  }

  async start(): Promise<this> {
    await this.plane.start()
    this.env = { CONSUL_HTTP_ADDR: this.plane.httpAddress }
    return this
  }

  async stop(): Promise<void> {
    await this.plane.stop()
    rmSync(this.folder, { recursive: true })
  }

  call(...argv: string[]): Promise<Run> {
    return runCommand(argv, this.env)
  }

  /** The output of a command that must succeed. */
  async out(...argv: string[]): Promise<string> {
    const { code, out, err } = await this.call(...argv)
    if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}: ${err}`)
    return out
  }

  file(name: string, text: string | Buffer): string {
    const path = join(this.folder, name)
    writeFileSync(path, text)
    return path
  }
}
