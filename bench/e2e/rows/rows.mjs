// Every row of the bench, in the order of the report. A row: `name`; `unit`, what is counted; `origin`, which of origin.mjs stands behind
// it; `figure`, what is compared; `peers`, who can do it beside Outrigger and Envoy; `measure(run, peer)`, one sample.
import { configRows } from './config-rows.mjs'
import { httpRows } from './http-rows.mjs'
import { meshRows } from './mesh-rows.mjs'
import { processRows } from './process-rows.mjs'

export const ROWS = [...httpRows, ...meshRows, ...processRows, ...configRows]
