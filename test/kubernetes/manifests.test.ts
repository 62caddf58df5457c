// The manifests of examples/deploy/kubernetes as a cluster would judge them: by the API's own schemas, and whether what they name is there, in them
// or in the steps of docs/kubernetes.md.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { normalizeGoFlags } from '../../src/cli/command-line/go-flags.js'
import { buildProgram } from '../../src/cli/program.js'
import { parseProxyFlags } from '../../src/cli/proxy-flags.js'
import { RESOURCE_KINDS } from '../../src/kubernetes/resources/resource-kinds.js'
import type { Json } from '../support/admission-reviews.js'
import { testIo } from '../support/command-io.js'
import { fieldProblems, knownKinds } from '../support/kube-fields.js'

const folder = fileURLToPath(new URL('../../examples/deploy/kubernetes/', import.meta.url))
const steps = readFileSync(fileURLToPath(new URL('../../docs/kubernetes.md', import.meta.url)), 'utf8')
const files = readdirSync(folder).filter(name => name.endsWith('.yaml'))

interface Document {
  readonly file: string
  readonly comments: string
  readonly object: Json
}

const documents: Document[] = files.flatMap(file => {
  const text = readFileSync(folder + file, 'utf8')
  return parseAllDocuments(text).map(document => {
    expect(document.errors, file).toEqual([])
    return {
      file,
      comments: text
        .split('\n')
        .filter(line => line.startsWith('#'))
        .join('\n'),
      object: document.toJS(),
    }
  })
})
const ofKind = (...kinds: string[]): Document[] => documents.filter(({ object }) => kinds.includes(object.kind))
const workloads = ofKind('Deployment', 'StatefulSet').map(document => ({ ...document, pod: document.object.spec.template.spec as Json }))
const containersOf = (pod: Json): Json[] => [...(pod.initContainers ?? []), ...pod.containers]
const ours = workloads.flatMap(({ file, pod }) =>
  containersOf(pod)
    .filter(({ image }) => image.startsWith('outrigger:'))
    .map(container => ({ file, container, title: `${file}: ${container.name}` })),
)
const namespaceOf = (object: Json): string => object.metadata.namespace ?? 'default'
const exists = (kind: string, name: string, namespace: string): boolean =>
  ofKind(kind).some(({ object }) => object.metadata.name === name && namespaceOf(object) === namespace)

/** What stands behind the command that the words name: flags that it has not. */
function unknownFlags(words: readonly string[]): readonly string[] {
  const program = buildProgram(testIo())
  let command: Command = program
  const end = words.indexOf('--')
  const rest = normalizeGoFlags(program, end < 0 ? words : words.slice(0, end))
  for (let below: Command | undefined; (below = command.commands.find(each => each.name() === rest[0])) !== undefined; rest.shift())
    command = below
  expect(command, words.join(' ')).not.toBe(program)
  return [...command.parseOptions(rest).unknown, ...(end < 0 ? [] : parseProxyFlags(words.slice(end + 1)).errors)]
}

describe('the API’s own fields', () => {
  const kinds = new Set(documents.map(({ object }) => object.kind as string))

  it.each(documents.filter(({ object }) => knownKinds.has(object.kind)))(
    '$file: $object.kind $object.metadata.name has no others',
    ({ object }) => {
      expect(fieldProblems(object.kind, object)).toEqual([])
    },
  )

  it('are known of every kind but custom resources and their definitions', () => {
    const others = [...kinds].filter(kind => !knownKinds.has(kind))
    expect(others.sort()).toEqual(['CustomResourceDefinition', 'ServiceDefaults', 'ServiceIntentions'])
  })

  it('a field at the wrong place is found', () => {
    expect(
      fieldProblems('Pod', { spec: { containers: [{ name: 'a', readOnlyRootFilesystem: true, ports: [{ containerPort: '80' }] }] } }),
    ).toEqual([
      'Pod.spec.containers[0].readOnlyRootFilesystem: there is no such field',
      'Pod.spec.containers[0].ports[0].containerPort: must be of type integer',
    ])
  })
})

it.each(ours)('$title runs a command that there is, with flags that it has', ({ container: { command, args } }) => {
  expect(command ?? ['outrigger']).toEqual(['outrigger'])
  expect(unknownFlags(args)).toEqual([])
})

it.each(ours)('$title: what its probes and hooks run and ask is there', ({ container }) => {
  const probes = [container.startupProbe, container.readinessProbe, container.livenessProbe]
  for (const probe of probes.filter(Boolean)) {
    if (probe.exec !== undefined) expect(unknownFlags(probe.exec.command.slice(2))).toEqual([])
    else expect(container.ports.map(({ name }: Json) => name)).toContain(probe.httpGet.port)
  }
  const hook = container.lifecycle?.preStop.exec.command
  if (hook !== undefined) expect([hook[0], unknownFlags(hook.slice(1))]).toEqual(['outrigger', []])
})

it.each(ours)('$title has no rights, a read-only root, and room that is bounded', ({ container }) => {
  expect(container.securityContext).toMatchObject({
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  })
  expect(container.resources).toMatchObject({ requests: { cpu: expect.anything() }, limits: { memory: expect.anything() } })
})

it.each(ours)('$title speaks to a port that the control plane’s Service has', ({ container }) => {
  const service = documents.find(({ object }) => object.kind === 'Service' && object.metadata.name === 'outrigger-control')!.object
  const spoken = [...(container.args as string[]), ...(container.env ?? []).map(({ value = '' }: Json) => value as string)]
    .flatMap(word => [...word.matchAll(/(outrigger[\w-]*\.outrigger(?:\.svc)?):(\d+)/g)])
    .map(([, host, port]) => [host!.split('.')[0], Number(port)])
  const served = service.spec.ports.map(({ port }: Json) => port)
  for (const [name, port] of spoken) expect([name, served]).toEqual(['outrigger-control', expect.arrayContaining([port])])
})

it.each(workloads)('$file: $object.metadata.name mounts what it has, of what there is', ({ object, pod, comments }) => {
  const volumes = new Map<string, Json>(
    [...(pod.volumes ?? []), ...(object.spec.volumeClaimTemplates ?? []).map(({ metadata }: Json) => metadata)].map((each: Json) => [
      each.name,
      each,
    ]),
  )
  for (const { name, volumeMounts = [] } of containersOf(pod))
    for (const mount of volumeMounts) expect([...volumes.keys()], name).toContain(mount.name)
  for (const { secret, configMap } of volumes.values()) {
    const [kind, name] = secret !== undefined ? ['Secret', secret.secretName] : ['ConfigMap', configMap?.name]
    if (name === undefined || exists(kind, name, namespaceOf(object))) continue
    expect(steps.includes(name) || comments.includes(name) || /outrigger-\w+-gateway-token/.test(name), `${kind} ${name}`).toBe(true)
  }
  if (pod.serviceAccountName !== undefined) expect(exists('ServiceAccount', pod.serviceAccountName, namespaceOf(object))).toBe(true)
})

it.each(ofKind('Service'))('$file: Service $object.metadata.name leads to pods that there are', ({ object }) => {
  const { selector, ports } = object.spec
  const found = workloads.find(({ object: { spec } }) =>
    Object.entries(selector).every(([key, value]) => spec.template.metadata.labels[key] === value),
  )!
  const known = containersOf(found.pod).flatMap(({ ports: own = [] }) => own as Json[])
  for (const { port, targetPort = port } of ports)
    expect(known.some(({ name, containerPort }) => targetPort === name || targetPort === containerPort)).toBe(true)
})

describe('rights in the cluster', () => {
  const [role] = ofKind('ClusterRole').filter(({ object }) => object.metadata.name === 'outrigger-sync')
  const verbsOf = (group: string, resource: string): string[] =>
    [role!, ...ofKind('Role')].flatMap(({ object }) =>
      object.rules
        .filter((rule: Json) => rule.apiGroups.includes(group) && rule.resources.includes(resource))
        .flatMap(({ verbs }: Json) => verbs),
    )

  it.each(RESOURCE_KINDS)('of the controller: $plural are watched and written, their status too', ({ plural }) => {
    expect(verbsOf('consul.hashicorp.com', plural)).toEqual(['get', 'list', 'watch', 'update'])
    expect(verbsOf('consul.hashicorp.com', `${plural}/status`)).toContain('update')
  })

  it('of the sync: what it lists, what it writes, and the Lease', () => {
    for (const [group, resource, verbs] of [
      ['', 'services', ['list', 'watch', 'create', 'update', 'delete']],
      ['', 'nodes', ['list', 'watch']],
      ['discovery.k8s.io', 'endpointslices', ['list', 'watch']],
      ['coordination.k8s.io', 'leases', ['get', 'create', 'update']],
    ] as const)
      expect(verbsOf(group, resource)).toEqual(expect.arrayContaining([...verbs]))
  })

  it('each binding is of a role and an account that there are', () => {
    for (const { object } of ofKind('RoleBinding', 'ClusterRoleBinding')) {
      expect(ofKind(object.roleRef.kind).some(each => each.object.metadata.name === object.roleRef.name)).toBe(true)
      for (const { name, namespace } of object.subjects) expect(exists('ServiceAccount', name, namespace)).toBe(true)
    }
  })
})

it('the webhook’s configuration leads to the webhook, and leaves alone what it stands on', () => {
  const [{ object }] = ofKind('MutatingWebhookConfiguration') as [Document]
  const [webhook] = object.webhooks
  expect(exists('Service', webhook.clientConfig.service.name, webhook.clientConfig.service.namespace)).toBe(true)
  expect(webhook.clientConfig.service.path).toBe('/mutate')
  expect(webhook.namespaceSelector.matchExpressions[0].values).toEqual(expect.arrayContaining(['kube-system', 'outrigger']))
})
