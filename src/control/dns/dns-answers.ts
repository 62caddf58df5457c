// What is answered to a question about the mesh's domain: records, code and authority, by Consul's rules. Called by `dns-server.ts`;
// asks the directory, and prepared queries. Names outside of the domain, and host names that stand for addresses, it leaves to recursors:
// a `CNAME` answer says which name is still to be followed.
// Invariant: a name that exists without records of the asked type is NOERROR with the SOA (NODATA), one that does not exist NXDOMAIN.
import { addressBytes, addressLabel, bytesOfLabel } from './address.js'
import type { DnsAddress, DnsDirectory, DnsInstance } from './directory.js'
import type { DnsRights } from './dns-rights.js'
import { type DnsRecord, RCODE, TYPE } from './message-writer.js'
import { type Locality, parseQuestion, type Question } from './question.js'

type ServiceQuestion = Extract<Question, { readonly kind: 'service' | 'connect' | 'ingress' }>

export interface DnsAnswer {
  readonly rcode: number
  readonly answers: readonly DnsRecord[]
  readonly authority: readonly DnsRecord[]
  readonly additional: readonly DnsRecord[]
  /** A host name that the last answer, a CNAME, points to, and that is not ours: recursors know more. */
  readonly follow?: string
}

/** What a prepared query gives to DNS. */
export interface QueryInstances {
  readonly instances: readonly DnsInstance[]
  readonly ttlSeconds: number
}

export interface DnsAnswersOptions {
  readonly directory: DnsDirectory
  /** Lower case, without dots at their ends; the first one names what answers point to when a question was in none. */
  readonly domains: readonly string[]
  readonly datacenter: string
  readonly nodeTtlSeconds: number
  /** By service name, `prefix*` or `*`. */
  readonly serviceTtlSeconds: ReadonlyMap<string, number>
  /** Undefined: there is no such query. */
  readonly executeQuery: (name: string) => QueryInstances | undefined
  /** Text of the address; undefined: the service has none. */
  readonly virtualIp: (service: string, peer: string | undefined) => string | undefined
  readonly now: () => number
  readonly random: () => number
}

/** CNAMEs of our own names followed for one answer. */
const MAX_CNAMES = 3
const NONE: readonly DnsRecord[] = []

export class DnsAnswers {
  private readonly options: DnsAnswersOptions
  private readonly datacenter: string
  /** CNAMEs followed for the answer that is being made. */
  private followed = 0
  /** What the one who asks may see; undefined = everything. */
  private rights: DnsRights | undefined

  constructor(options: DnsAnswersOptions) {
    this.options = options
    this.datacenter = options.datacenter.toLowerCase()
  }

  /** `name` in lower case. Undefined: not a name of ours, and nobody here knows it (the recursors' turn). */
  answer(name: string, type: number, rights: DnsRights | undefined): DnsAnswer | undefined {
    this.followed = 0
    this.rights = rights
    return this.answerOne(name, type)
  }

  private answerOne(name: string, type: number): DnsAnswer | undefined {
    const { question, domain } = parseQuestion(name, this.options.domains)
    switch (question.kind) {
      case 'foreign':
        return undefined
      case 'reverse':
        return this.reverse(question.address, name, type, domain)
      case 'unknown':
        return this.nothing(RCODE.NXDOMAIN, domain)
      case 'apex':
        return this.apex(type, domain)
      case 'nameserver':
        return this.found(this.serverAddresses(name, type), domain)
      case 'address':
        return this.literal(question.hex, name, type, domain)
      case 'node':
        return this.node(question.name, name, type, domain, question.locality)
      case 'query':
        return this.query(question.name, name, type, domain, question.locality)
      case 'virtual':
        return this.virtual(question.name, name, type, domain, question.locality)
      case 'service':
      case 'connect':
      case 'ingress':
        return this.service(question, name, type, domain)
      default: {
        const never: never = question
        return never
      }
    }
  }

  soa(domain: string): DnsRecord {
    const serial = Math.floor(this.options.now() / 1_000) >>> 0
    return { type: TYPE.SOA, name: domain, ttl: 0, mname: `ns.${domain}`, rname: `hostmaster.${domain}`, serial, minimum: 0 }
  }

  private nothing(rcode: number, domain: string): DnsAnswer {
    return { rcode, answers: NONE, authority: [this.soa(domain)], additional: NONE }
  }

  private found(answers: readonly DnsRecord[], domain: string, additional: readonly DnsRecord[] = NONE): DnsAnswer {
    if (answers.length === 0) return { ...this.nothing(RCODE.NOERROR, domain), additional }
    return { rcode: RCODE.NOERROR, answers, authority: NONE, additional }
  }

  private isHere({ datacenter, peer }: Locality): boolean {
    return peer === undefined && (datacenter === undefined || datacenter === this.datacenter)
  }

  /** A label that is no datacenter of ours may as well be a peer's name, as in Consul. */
  private peerOf({ datacenter, peer }: Locality): string | undefined {
    return peer ?? (datacenter === this.datacenter ? undefined : datacenter)
  }

  private apex(type: number, domain: string): DnsAnswer {
    const records: DnsRecord[] = []
    const glue: DnsRecord[] = []
    if (type === TYPE.SOA || type === TYPE.ANY) records.push(this.soa(domain))
    if (type === TYPE.NS || type === TYPE.ANY || type === TYPE.SOA) {
      const servers = this.options.directory.servers().filter(({ address }) => address.family !== 0)
      const names = servers.map(server => ({ target: this.nodeName(server.name, domain), address: server.address }))
      const ns = names.map(({ target }): DnsRecord => ({ type: TYPE.NS, name: domain, ttl: 0, target }))
      for (const { target, address } of names) glue.push(...this.addressRecords(target, TYPE.ANY, address, this.options.nodeTtlSeconds))
      if (type === TYPE.SOA) return { rcode: RCODE.NOERROR, answers: records, authority: ns, additional: glue }
      records.push(...ns)
    }
    return this.found(records, domain, glue)
  }

  private serverAddresses(name: string, type: number): DnsRecord[] {
    return this.options.directory.servers().flatMap(({ address }) => this.addressRecords(name, type, address, this.options.nodeTtlSeconds))
  }

  private literal(hex: string, name: string, type: number, domain: string): DnsAnswer {
    const bytes = bytesOfLabel(hex)
    if (bytes === undefined) return this.nothing(RCODE.NXDOMAIN, domain)
    const address: DnsAddress = { family: bytes.length === 4 ? 4 : 6, bytes, host: '' }
    const records = this.addressRecords(name, type, address, this.options.nodeTtlSeconds)
    // As Consul does: the address itself comes along where another type was asked for.
    return this.found(
      records,
      domain,
      records.length > 0 ? NONE : this.addressRecords(name, TYPE.ANY, address, this.options.nodeTtlSeconds),
    )
  }

  private node(node: string, name: string, type: number, domain: string, locality: Locality): DnsAnswer {
    const found = this.isHere(locality) ? this.options.directory.node(node) : undefined
    if (found === undefined || this.rights?.may('node', found.name, 'read') === false) return this.nothing(RCODE.NXDOMAIN, domain)
    const ttl = this.options.nodeTtlSeconds
    const meta = Object.entries(found.meta).map(
      // A key that begins with rfc1035- is text as it stands (RFC 1464 has `key=value`).
      ([key, value]): DnsRecord => ({ type: TYPE.TXT, name, ttl, text: key.startsWith('rfc1035-') ? value : `${key}=${value}` }),
    )
    const addresses = this.addressRecords(name, type, found.address, ttl)
    if (type === TYPE.ANY || type === TYPE.TXT) return this.withCname([...addresses, ...meta], type, domain, NONE)
    return this.withCname(addresses, type, domain, meta)
  }

  private reverse(address: string, name: string, type: number, domain: string): DnsAnswer | undefined {
    const { rights } = this
    const at = this.options.directory.namesAt(address)
    const nodes = rights === undefined ? at.nodes : at.nodes.filter(node => rights.may('node', node, 'read'))
    const services = rights === undefined ? at.services : at.services.filter(service => rights.may('service', service, 'read'))
    if (nodes.length + services.length === 0) return undefined
    if (type !== TYPE.PTR && type !== TYPE.ANY) return this.nothing(RCODE.NOERROR, domain)
    const targets = [...nodes.map(node => this.nodeName(node, domain)), ...services.map(service => `${service}.service.${domain}`)]
    return this.found(
      targets.map(target => ({ type: TYPE.PTR, name, ttl: 0, target })),
      domain,
    )
  }

  private query(query: string, name: string, type: number, domain: string, locality: Locality): DnsAnswer {
    const mayAsk = this.isHere(locality) && this.rights?.may('query', query, 'read') !== false
    const result = mayAsk ? this.options.executeQuery(query) : undefined
    const seen = this.visible([...(result?.instances ?? [])])
    if (result === undefined || seen.length === 0) return this.nothing(RCODE.NXDOMAIN, domain)
    return this.instances(seen, name, type, domain, result.ttlSeconds)
  }

  private virtual(service: string, name: string, type: number, domain: string, locality: Locality): DnsAnswer {
    const peer = this.peerOf(locality)
    const mayAsk = (peer !== undefined || this.isHere(locality)) && this.rights?.may('service', service, 'read') !== false
    const text = mayAsk ? this.options.virtualIp(service, peer) : undefined
    const bytes = text === undefined ? undefined : addressBytes(text)
    if (bytes === undefined) return this.nothing(RCODE.NXDOMAIN, domain)
    return this.found(this.addressRecords(name, type, { family: 4, bytes, host: text! }, this.serviceTtl(service)), domain)
  }

  private service(question: ServiceQuestion, name: string, type: number, domain: string): DnsAnswer {
    const { directory } = this.options
    const { kind, name: asked, tag, locality } = question
    const peer = this.peerOf(locality)
    const known =
      peer !== undefined
        ? directory.peerInstances(kind, asked, tag, peer)
        : this.isHere(locality)
          ? directory.instances(kind, asked, tag)
          : undefined
    const seen = known === undefined ? [] : this.visible(known)
    if (seen.length === 0) return this.nothing(RCODE.NXDOMAIN, domain)
    return this.instances(seen, name, type, domain, this.serviceTtl(question.name))
  }

  /** Those that the asking token may see; the list itself where there are no ACLs. */
  private visible(instances: DnsInstance[]): DnsInstance[] {
    const { rights } = this
    if (rights === undefined) return instances
    return instances.filter(({ service, node }) => rights.may('service', service, 'read') && rights.may('node', node, 'read'))
  }

  /** `instances` is shuffled in place, so that every answer begins with another one. */
  private instances(instances: DnsInstance[], name: string, type: number, domain: string, ttl: number): DnsAnswer {
    shuffle(instances, this.options.random)
    if (type === TYPE.SRV) return this.srv(instances, name, domain, ttl)
    const answers: DnsRecord[] = []
    const seen = new Set<string>()
    for (const { address } of instances) {
      if (seen.has(address.host)) continue
      seen.add(address.host)
      for (const record of this.addressRecords(name, type, address, ttl)) {
        // A name with a CNAME has nothing else (RFC 1034, 3.6.2): it is given only where there is nothing better.
        if (record.type === TYPE.CNAME && answers.length > 0) continue
        if (answers[0]?.type === TYPE.CNAME) answers.length = 0
        answers.push(record)
      }
    }
    return this.withCname(answers, type, domain, NONE)
  }

  private srv(instances: readonly DnsInstance[], name: string, domain: string, ttl: number): DnsAnswer {
    const answers: DnsRecord[] = []
    const additional: DnsRecord[] = []
    const seen = new Set<string>()
    for (const { node, address, atNode, port, weight } of instances) {
      const target = this.srvTarget(node, address, atNode, domain)
      const key = `${target}:${port}`
      if (seen.has(key)) continue
      seen.add(key)
      answers.push({ type: TYPE.SRV, name, ttl, weight, port, target })
      // One for each record, also of the same name, as Consul gives them: HAProxy's resolvers take an address from the list for one of them alone.
      if (address.family !== 0) additional.push(...this.addressRecords(target, TYPE.ANY, address, ttl))
    }
    return this.found(answers, domain, additional)
  }

  private srvTarget(node: string, address: DnsAddress, atNode: boolean, domain: string): string {
    if (address.family === 0) return address.host
    return atNode ? this.nodeName(node, domain) : `${addressLabel(address.bytes)}.addr.${this.datacenter}.${domain}`
  }

  private nodeName(node: string, domain: string): string {
    return `${node}.node.${this.datacenter}.${domain}`
  }

  private addressRecords(name: string, type: number, address: DnsAddress, ttl: number): DnsRecord[] {
    if (address.family === 0)
      return type === TYPE.A || type === TYPE.AAAA || type === TYPE.ANY || type === TYPE.CNAME
        ? [{ type: TYPE.CNAME, name, ttl, target: address.host }]
        : []
    const own = address.family === 4 ? TYPE.A : TYPE.AAAA
    return type === own || type === TYPE.ANY ? [{ type: own, name, ttl, address: address.bytes }] : []
  }

  /** Follows a CNAME into our own domain; another name is left to the recursors. */
  private withCname(answers: readonly DnsRecord[], type: number, domain: string, additional: readonly DnsRecord[]): DnsAnswer {
    const last = answers.at(-1)
    if (last?.type !== TYPE.CNAME || type === TYPE.CNAME) return this.found(answers, domain, additional)
    const target = last.target.toLowerCase()
    const isOurs = parseQuestion(target, this.options.domains).question.kind !== 'foreign'
    if (!isOurs) return { ...this.found(answers, domain, additional), follow: target }
    const next = this.followed++ < MAX_CNAMES ? this.answerOne(target, type) : undefined
    return {
      ...this.found([...answers, ...(next?.answers ?? NONE)], domain, additional),
      ...(next?.follow === undefined ? {} : { follow: next.follow }),
    }
  }

  private serviceTtl(service: string): number {
    const { serviceTtlSeconds } = this.options
    if (serviceTtlSeconds.size === 0) return 0
    const exact = serviceTtlSeconds.get(service)
    if (exact !== undefined) return exact
    for (let length = service.length; length >= 0; length--) {
      const ttl = serviceTtlSeconds.get(`${service.slice(0, length)}*`)
      if (ttl !== undefined) return ttl
    }
    return 0
  }
}

function shuffle(items: unknown[], random: () => number): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const item = items[i]
    items[i] = items[j]
    items[j] = item
  }
}
