// A prepared query: a question about a service that is kept under a name, with tags, metadata and failover; perhaps a template that
// answers for every name of a prefix. Parsed and checked here, by Consul's rules; used by the query endpoints and the query table.
import { RE2JS } from 're2js'
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import { interpolate } from './template.js'

/** One of the two is ''. */
export interface FailoverTarget {
  readonly Peer: string
  readonly Datacenter: string
}

export interface ServiceQuery {
  readonly Service: string
  readonly Failover: {
    readonly NearestN: number
    readonly Datacenters: readonly string[]
    /** Absent where there are none: Consul prints them then alone. */
    readonly Targets?: readonly FailoverTarget[]
  }
  readonly OnlyPassing: boolean
  readonly IgnoreCheckIDs: readonly string[]
  readonly Near: string
  /** A tag that begins with `!` must not be there. */
  readonly Tags: readonly string[]
  readonly NodeMeta: Readonly<Record<string, string>>
  readonly ServiceMeta: Readonly<Record<string, string>>
  readonly Connect: boolean
}

export interface PreparedQueryRecord {
  readonly ID: string
  readonly Name: string
  readonly Session: string
  readonly Token: string
  readonly Template: { readonly Type: '' | 'name_prefix_match'; readonly Regexp: string; readonly RemoveEmptyTags: boolean }
  readonly Service: ServiceQuery
  readonly DNS: { readonly TTL: string }
}

const MAX_LIST = 64

/** Throws one line for the field that is wrong. The id is the caller's to give. */
export function parsePreparedQuery(body: Record<string, unknown>): Omit<PreparedQueryRecord, 'ID'> {
  const errors: ConfigError[] = []
  const fields = new FieldReader(body, '', errors)
  const empty = (name: string): FieldReader => new FieldReader({}, name, errors)
  const template = fields.object('Template') ?? empty('Template')
  const service = fields.object('Service') ?? empty('Service')
  const failover = service.object('Failover') ?? empty('Service.Failover')
  const dns = fields.object('DNS') ?? empty('DNS')
  const type = template.string('Type')
  if (type !== '' && type !== 'name_prefix_match') template.fail('Type', `Bad Template.Type ${JSON.stringify(type)}`)
  const targets = failover.objects('Targets', MAX_LIST).map(readTarget)
  for (const name of ['SamenessGroup', 'Peer']) if (service.string(name) !== '') service.fail(name, 'is not supported')
  const query: Omit<PreparedQueryRecord, 'ID'> = {
    Name: fields.string('Name'),
    Session: fields.string('Session'),
    Token: fields.string('Token'),
    Template: {
      Type: type as '' | 'name_prefix_match',
      Regexp: template.string('Regexp'),
      RemoveEmptyTags: template.boolean('RemoveEmptyTags'),
    },
    Service: {
      Service: service.string('Service'),
      Failover: {
        NearestN: failover.integer('NearestN', 0, 1_000, 0),
        Datacenters: failover.strings('Datacenters'),
        ...(targets.length === 0 ? {} : { Targets: targets }),
      },
      OnlyPassing: service.boolean('OnlyPassing'),
      IgnoreCheckIDs: service.strings('IgnoreCheckIDs'),
      Near: service.string('Near'),
      Tags: service.strings('Tags'),
      NodeMeta: service.stringMap('NodeMeta'),
      ServiceMeta: service.stringMap('ServiceMeta'),
      Connect: service.boolean('Connect'),
    },
    DNS: { TTL: dns.string('TTL') },
  }
  if (errors.length > 0) throw new Error(errors.map(({ path, reason }) => `${path}: ${reason}`).join('; '))
  check(query)
  return query
}

function readTarget(fields: FieldReader): FailoverTarget {
  for (const name of ['Partition', 'Namespace'])
    if (!['', 'default'].includes(fields.string(name))) fields.fail(name, 'is of Consul Enterprise; only "default" exists here')
  return { Peer: fields.string('Peer'), Datacenter: fields.string('Datacenter') }
}

function check(query: Omit<PreparedQueryRecord, 'ID'>): void {
  const { TTL } = query.DNS
  const { NearestN, Datacenters, Targets = [] } = query.Service.Failover
  if (query.Service.Service === '') throw new Error('Must provide a Service name to query')
  if (Targets.length > 0 && (NearestN !== 0 || Datacenters.length > 0))
    throw new Error('Targets cannot be populated with NearestN or Datacenters')
  const ttl = TTL === '' ? 0 : parseDuration(TTL)
  if (ttl === undefined) throw new Error(`Bad DNS TTL '${TTL}'`)
  if (ttl < 0) throw new Error(`DNS TTL '${TTL}', must be >=0`)
  if (query.Template.Type === '') return
  if (query.Template.Regexp !== '') {
    try {
      RE2JS.compile(query.Template.Regexp)
    } catch (error) {
      throw new Error(`Bad Regexp: ${(error as Error).message}`)
    }
  }
  // A template that can't be filled in is refused when it is written, not when it is asked.
  fillIn({ ID: '', ...query }, query.Name)
}

/** The query that a template makes of a name; throws for a variable that there is not. */
export function fillIn(query: PreparedQueryRecord, name: string): PreparedQueryRecord {
  if (query.Template.Type === '') return query
  const text = (value: string): string => interpolate(value, name, query.Name, query.Template.Regexp)
  const map = (values: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, text(value)]))
  const { Service } = query
  const tags = Service.Tags.map(text)
  return {
    ...query,
    Service: {
      ...Service,
      Service: text(Service.Service),
      Near: text(Service.Near),
      Failover: {
        ...Service.Failover,
        Datacenters: Service.Failover.Datacenters.map(text),
        ...(Service.Failover.Targets && {
          Targets: Service.Failover.Targets.map(({ Peer, Datacenter }) => ({ Peer: text(Peer), Datacenter: text(Datacenter) })),
        }),
      },
      Tags: query.Template.RemoveEmptyTags ? tags.filter(tag => tag !== '' && tag !== '!') : tags,
      NodeMeta: map(Service.NodeMeta),
      ServiceMeta: map(Service.ServiceMeta),
    },
  }
}
