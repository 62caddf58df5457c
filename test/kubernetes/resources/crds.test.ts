// The CustomResourceDefinitions: they are those of the example, and in the form that Kubernetes takes.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { Json } from '../../support/admission-reviews.js'
import { runCommand } from '../../support/cli-fixture.js'

const { out } = await runCommand(['k8s', 'crds'])
const documents: Json[] = parseAllDocuments(out).map(document => document.toJS())
const specOf = (kind: string): Json =>
  documents.find(({ spec }) => spec.names.kind === kind).spec.versions[0].schema.openAPIV3Schema.properties.spec

it('are those of the example', () => {
  const file = new URL('../../../examples/deploy/kubernetes/crds.yaml', import.meta.url)
  expect(out === readFileSync(file, 'utf8'), 'outdated: outrigger k8s crds > examples/deploy/kubernetes/crds.yaml').toBe(true)
})

it('have the names of consul-k8s', () => {
  expect(documents.map(({ metadata }) => metadata.name)).toEqual(
    expect.arrayContaining([
      'servicedefaults.consul.hashicorp.com',
      'serviceintentions.consul.hashicorp.com',
      'servicerouters.consul.hashicorp.com',
      'servicesplitters.consul.hashicorp.com',
      'serviceresolvers.consul.hashicorp.com',
      'proxydefaults.consul.hashicorp.com',
      'meshes.consul.hashicorp.com',
      'exportedservices.consul.hashicorp.com',
      'ingressgateways.consul.hashicorp.com',
      'terminatinggateways.consul.hashicorp.com',
      'jwtproviders.consul.hashicorp.com',
    ]),
  )
})

it('describe the fields in camel case, with their types and limits', () => {
  const defaults = specOf('ServiceDefaults').properties
  expect(defaults.protocol).toEqual({ type: 'string', enum: ['tcp', 'http', 'http2', 'grpc'] })
  expect(defaults.transparentProxy.properties.outboundListenerPort).toEqual({
    type: 'integer',
    format: 'int64',
    minimum: 0,
    maximum: 65_535,
  })
  expect(defaults.externalSNI).toEqual({ type: 'string' })
  expect(defaults.mutualTLSMode.enum).toEqual(['strict', 'permissive'])
  expect(Object.keys(defaults)).not.toContain('kind')
  const route = specOf('ServiceRouter').properties.routes.items.properties
  expect(route.match.properties.http.properties.pathPrefix).toEqual({ type: 'string' })
  expect(route.destination.properties.requestTimeout).toEqual({ 'x-kubernetes-int-or-string': true })
  expect(specOf('Mesh').properties.tls.properties.incoming.properties.tlsMinVersion.type).toBe('string')
  expect(specOf('ProxyDefaults').properties.config.additionalProperties).toEqual({ 'x-kubernetes-preserve-unknown-fields': true })
  expect(specOf('ServiceIntentions').required).toEqual(['destination'])
})

/** apiextensions.k8s.io/v1: every schema has a type, but for those that say that anything goes, and never properties beside a map. */
function structural(schema: Json, path: string): string[] {
  const free = schema['x-kubernetes-preserve-unknown-fields'] === true || schema['x-kubernetes-int-or-string'] === true
  const below = [
    ...Object.entries(schema.properties ?? {}).map(([name, each]) => [each, `${path}.${name}`] as const),
    ...(schema.items === undefined ? [] : [[schema.items, `${path}[]`] as const]),
    ...(schema.additionalProperties === undefined ? [] : [[schema.additionalProperties, `${path}{}`] as const]),
  ]
  const wrong = (free ? schema.type !== undefined : schema.type === undefined) || (schema.properties && schema.additionalProperties)
  return [...(wrong ? [path] : []), ...below.flatMap(([each, at]) => structural(each, at))]
}

it.each(documents.map(({ spec }) => spec.names.kind))('%s has a structural schema', kind => {
  expect(structural(specOf(kind), 'spec')).toEqual([])
})
