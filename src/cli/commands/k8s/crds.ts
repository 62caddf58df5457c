// `outrigger k8s crds`: the CustomResourceDefinitions of the config entries, as YAML, made from the shapes that read the entries. Called by
// k8s.ts. examples/deploy/kubernetes/crds.yaml is its output; a test fails while they differ.
import { stringify } from 'yaml'
import { type OpenApiSchema, openApiOf } from '../../../control/config-entries/open-api.js'
import type { ConfigEntryKind } from '../../../control/config-entries/types.js'
import { GROUP, RESOURCE_KINDS, type ResourceKind, VERSION } from '../../../kubernetes/resources/resource-kinds.js'
import type { CommandIo } from '../../command-line/command-io.js'

const HEAD = `# Config entries as custom resources. Written by \`outrigger k8s crds\`.\n`

export function printCrds(io: CommandIo): void {
  io.out(HEAD + RESOURCE_KINDS.map(kind => stringify(definitionOf(kind), { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n'))
}

function definitionOf(resource: ResourceKind): object {
  const { kind, plural, shortName } = resource
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(shortName === kind.toLowerCase() ? {} : { shortNames: [shortName] }),
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            { name: 'Synced', type: 'string', jsonPath: '.status.conditions[?(@.type=="Synced")].status' },
            { name: 'Last Synced', type: 'date', jsonPath: '.status.lastSyncedTime' },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { apiVersion: TEXT, kind: TEXT, metadata: { type: 'object' }, spec: specOf(resource), status: STATUS },
            },
          },
        },
      ],
    },
  }
}

const TEXT: OpenApiSchema = { type: 'string' }
const TIME: OpenApiSchema = { type: 'string', format: 'date-time' }
const STATUS: OpenApiSchema = {
  type: 'object',
  properties: {
    lastSyncedTime: TIME,
    conditions: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          type: TEXT,
          status: TEXT,
          reason: TEXT,
          message: TEXT,
          lastTransitionTime: TIME,
          observedGeneration: { type: 'integer', format: 'int64' },
        },
      },
    },
  },
}

/** Whose intentions they are is said in the spec, once and for all. */
function specOf({ entryKind }: ResourceKind): object {
  const schema = openApiOf(entryKind as ConfigEntryKind)
  if (entryKind !== 'service-intentions') return schema
  return {
    ...schema,
    properties: { destination: { type: 'object', properties: { name: TEXT, namespace: TEXT }, required: ['name'] }, ...schema.properties },
    required: ['destination'],
    'x-kubernetes-validations': [
      { rule: 'self.destination.name == oldSelf.destination.name', message: 'destination.name cannot be changed' },
    ],
  }
}
