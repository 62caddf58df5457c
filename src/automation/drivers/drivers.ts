// The driver of a task, by its configuration. Called by automation.ts for each task. The one place that knows all kinds.
import { join } from 'node:path'
import type { SyncConfig, TaskConfig } from '../config/sync-config.js'
import type { StateFile } from '../tasks/sync-state.js'
import type { TemplateWorld } from '../template/template.js'
import type { Driver } from './driver.js'
import { As3Driver } from './http/as3-driver.js'
import type { HttpWorld } from './http/http-call.js'
import { JsonDriver } from './http/json-driver.js'
import { WebhookDriver } from './http/webhook-driver.js'
import { type OwedReload, TemplateDriver } from './template-driver.js'
import { TerraformDriver } from './terraform/terraform-driver.js'

export interface DriverWorld extends HttpWorld, TemplateWorld {
  /** For programs. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly onOutput: (task: string, line: string) => void
}

export function driverOf(task: TaskConfig, config: SyncConfig, world: DriverWorld, state: StateFile): Driver {
  const { driver, name } = task
  switch (driver.kind) {
    case 'template':
      return new TemplateDriver(driver, world, world.environment, owedReload(name, state))
    case 'webhook':
      return new WebhookDriver(name, driver, world)
    case 'http':
      return new JsonDriver(driver, world)
    case 'as3':
      return new As3Driver(driver, world)
    case 'terraform':
      return new TerraformDriver({
        task: { name, description: task.description, module: driver },
        settings: config.terraform,
        folder: join(config.terraform.workingDir ?? config.workingDir, name),
        world,
        env: world.environment,
        onOutput: line => world.onOutput(name, line),
      })
  }
}

function owedReload(task: string, file: StateFile): OwedReload {
  const { owed } = file.state
  return {
    isOwed: () => owed[task] === true,
    set: isOwed => {
      if (isOwed) owed[task] = true
      else delete owed[task]
      file.save()
    },
  }
}
