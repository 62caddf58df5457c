// The tree of all commands, each group declared by its file under commands/. Built by outrigger-main.ts for a command line, by the completion
// scripts, and by the test that compares it with docs/consul-compatibility.md.
// Invariant: building it loads no part of the control plane; a command's own file does that when it runs.
import { Command } from 'commander'
import { OUTRIGGER_VERSION } from '../sidecar/version.js'
import type { CommandIo } from './command-line/command-io.js'
import { addAcl } from './commands/acl/acl.js'
import { addAgent } from './commands/agent.js'
import { addApply } from './commands/apply.js'
import { addBackup } from './commands/backup.js'
import { addCa } from './commands/ca.js'
import { addCatalog } from './commands/catalog.js'
import { addCompletion } from './commands/completion.js'
import { addConfig } from './commands/config.js'
import { addConnect } from './commands/connect.js'
import { addControl } from './commands/control.js'
import { addDebug } from './commands/debug.js'
import { addDev } from './commands/dev/add-dev.js'
import { addRun } from './commands/dev/run.js'
import { addExplain } from './commands/explain.js'
import { addGateway } from './commands/gateway.js'
import { addHelpExamples } from './commands/help-examples.js'
import { addImport } from './commands/import.js'
import { addIntention } from './commands/intention.js'
import { addJsonForm } from './commands/json-form.js'
import { addK8s } from './commands/k8s/k8s.js'
import { addKv } from './commands/kv.js'
import { addTap } from './commands/live/tap.js'
import { addTraffic } from './commands/live/traffic.js'
import { addWait } from './commands/live/wait.js'
import { addLocal } from './commands/local.js'
import { addLock } from './commands/lock.js'
import { addNode } from './commands/node.js'
import { addOperator } from './commands/operator.js'
import { addPeering } from './commands/peering.js'
import { addPlan } from './commands/plan.js'
import { addProxies } from './commands/proxies.js'
import { addRefused } from './commands/refused.js'
import { addRollout } from './commands/rollout.js'
import { addServices } from './commands/services.js'
import { addCheck } from './commands/sidecar/check.js'
import { addProxyConfig } from './commands/sidecar/proxy-config.js'
import { addReady } from './commands/sidecar/ready.js'
import { addSidecar } from './commands/sidecar/sidecar.js'
import { addWhy } from './commands/sidecar/why.js'
import { addSnapshot } from './commands/snapshot.js'
import { addSpiffe } from './commands/spiffe.js'
import { addSync } from './commands/sync/sync.js'
import { addTls } from './commands/tls.js'
import { addTroubleshoot } from './commands/troubleshoot.js'
import { addWatch } from './commands/watch.js'

export function buildProgram(io: CommandIo): Command {
  const program = new Command('outrigger')
  program
    .description(
      "Control plane of an Outrigger mesh, and the commands that talk to it: Consul's, by their names and flags, and some of its own.",
    )
    .version(OUTRIGGER_VERSION, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(true)
    .exitOverride()
    .enablePositionalOptions()
    .configureOutput({
      writeOut: text => io.out(text),
      writeErr: text => io.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'outrigger: ')),
    })
    .showSuggestionAfterError(true)
  for (const add of GROUPS) add(program, io)
  addJsonForm(program)
  addHelpExamples(program)
  return program
}

const GROUPS: readonly ((program: Command, io: CommandIo) => void)[] = [
  addControl,
  addAgent,
  addApply,
  addPlan,
  addProxies,
  addExplain,
  addWhy,
  addProxyConfig,
  addCheck,
  addRun,
  addDev,
  addTraffic,
  addTap,
  addWait,
  addReady,
  addSidecar,
  addImport,
  addIntention,
  addCa,
  addRollout,
  addCatalog,
  addServices,
  addPeering,
  addSpiffe,
  addConfig,
  addKv,
  addAcl,
  addNode,
  addConnect,
  addGateway,
  addK8s,
  addSync,
  addSnapshot,
  addBackup,
  addLock,
  addWatch,
  addOperator,
  addTroubleshoot,
  addDebug,
  addTls,
  addLocal,
  addRefused,
  addCompletion,
]
