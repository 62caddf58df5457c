// Every field that the compatibility tables call supported is read, all the way: a decoder reads the message's field, and something
// outside of src/xds and src/model reads each property of the model. Part of `npm test`; prints each that is not and exits 1.
// It asks the compiler (source-graph.mjs), so a reader is one that names that very field, or a structure that the message or model fits.
import { SyntaxKind } from 'typescript/unstable/ast'
import { MEMBERS, sourceGraph } from './source-graph.mjs'

/** Today's offenders; the list may only shrink. One that is read by now, or no longer called supported, fails too: take its line out. */
const STILL_UNREAD = new Set([
  'envoy.config.bootstrap.v3.RuntimeLayer.admin_layer',
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig.hash_balance_factor',
  'envoy.config.core.v3.ConfigSource.resource_api_version',
  'envoy.config.core.v3.SelfConfigSource.transport_api_version',
  'envoy.config.ratelimit.v3.RateLimitServiceConfig.transport_api_version',
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit.header_limit',
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.grpc_service',
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.transport_api_version',
  'envoy.config.listener.v3.ListenerFilter.typed_config',
  'envoy.extensions.access_loggers.stream.v3.StderrAccessLog.log_format',
  'envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst.shuffle_address_list',
  'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash.use_hostname_for_hashing',
  'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash.hash_balance_factor',
  'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz.transport_api_version',
  'envoy.config.route.v3.RetryPolicy.RetryHostPredicate.typed_config',
  'envoy.config.route.v3.RetryPolicy.RetryPriority.typed_config',
  'envoy.config.route.v3.Route.non_forwarding_action',
  'envoy.type.matcher.v3.RegexMatcher.google_re2',
  'model/config-source.ts: ApiConfigSource.rateLimit.maxTokens',
  'model/config-source.ts: ApiConfigSource.rateLimit.fillRate',
  'model/tls.ts: DownstreamTls.disableStatefulSessionResumption',
  'model/tls.ts: Secret.secret',
  'model/http-filter.ts: JwtProvider.jwks.fastListener',
  'model/http-filter.ts: RouterConfig.startChildSpan',
  'model/http-filter.ts: RouterConfig.respectExpectedRqTimeout',
  'model/http-filter.ts: RouterConfig.suppressGrpcRequestFailureCodeStats',
  'model/http-filter.ts: RouterConfig.strictCheckHeaders',
  'model/route.ts: HedgePolicy.initialRequests',
  'model/route.ts: RouteTable.maxDirectResponseBodyBytes',
  'model/http-connection-manager.ts: Http1Options.enableTrailers',
  'model/http-connection-manager.ts: Http1Options.allowChunkedLength',
  'model/http-connection-manager.ts: Http2Options.allowMetadata',
  'model/http-connection-manager.ts: Http2Options.streamErrorOnInvalidHttpMessaging',
  'model/http-connection-manager.ts: UpgradeConfig.filters',
  'model/http-connection-manager.ts: HttpConnectionManager.streamErrorOnInvalidHttpMessage',
  'model/http-connection-manager.ts: HttpConnectionManager.tracingRandomSampling',
  'model/cluster.ts: Cluster.tcpKeepalive.probes',
  'model/cluster.ts: Cluster.tcpKeepalive.intervalSeconds',
  'model/listener.ts: NetworkFilter.delayMs',
  'model/listener.ts: NetworkFilter.enabled',
  'model/listener.ts: Listener.originalDst',
  'model/listener.ts: Listener.enableReusePort',
  'model/listener.ts: Listener.ignoreGlobalConnLimit',
  'model/bootstrap.ts: Bootstrap.admin.accessLogs',
  'model/bootstrap.ts: Bootstrap.admin.profilePath',
  'model/bootstrap.ts: Bootstrap.headerPrefix',
  'model/bootstrap.ts: Bootstrap.unsupported',
  'model/format-commands.ts: FormatCommand.argument',
  'model/format-commands.ts: FormatCommand.length',
])

const { api, program, sources, readsOf } = sourceGraph()

/** Message -> the fields that field-support/ calls supported. */
function supportedFields() {
  const supported = new Map()
  const visit = node => {
    if (node.kind === SyntaxKind.PropertyAssignment && node.initializer.kind === SyntaxKind.ObjectLiteralExpression) {
      const names = node.initializer.properties.find(property => property.name?.text === 'supported')
      if (names !== undefined) supported.set(node.name.text, (names.initializer.text ?? '').split(' ').filter(Boolean))
    }
    node.forEachChild(visit)
  }
  for (const { file, source } of sources)
    if (file.startsWith('xds/resources/field-support/') && !file.endsWith('message-support.ts')) visit(source)
  return supported
}

/** The cases of a oneof's type, `{ case: "a"; value: A } | { case: "b"; value: B } | …`; none for another type. */
function casesOf(type) {
  if (type.kind !== SyntaxKind.UnionType) return []
  return type.types.flatMap(one => {
    const which = one.members?.find(member => member.name.text === 'case')
    return which?.type.literal?.text === undefined ? [] : [which.type.literal.text]
  })
}

/** Message -> name of a field in TypeScript -> { member, owner, oneof }; the fields of a oneof share their member. */
function messageFields() {
  const messages = new Map()
  for (const name of program.getSourceFileNames()) {
    if (!name.includes('/src/xds/gen/')) continue
    program.getSourceFile(name).forEachChild(owner => {
      const [reference, literal] = owner.type?.types ?? []
      if (reference?.typeName?.text !== 'Message') return
      const fields = new Map()
      for (const member of literal.members) {
        const cases = casesOf(member.type)
        for (const field of cases.length > 0 ? cases : [member.name.text]) fields.set(field, { member, owner, oneof: cases.length > 0 })
      }
      messages.set(reference.typeArguments[0].literal.text, fields)
    })
  }
  return messages
}

/** File -> its string literals: a oneof's case is read where its name stands in a file that reads the oneof. */
const texts = new Map()
for (const { file, source } of sources) {
  const found = new Set()
  const visit = node => {
    if (node.kind === SyntaxKind.StringLiteral) found.add(node.text)
    node.forEachChild(visit)
  }
  visit(source)
  texts.set(file, found)
}

const camelCase = name => name.replace(/_+(.)/g, (_, letter) => letter.toUpperCase())
const isDecoder = ({ file }) => !file.startsWith('control/')
const isRuntime = ({ file }) => !/^(?:xds|model|control)\//.test(file)

const offenders = new Set()
const messages = messageFields()
for (const [message, names] of supportedFields()) {
  for (const name of names) {
    const local = camelCase(name)
    const field = messages.get(message)?.get(local)
    const readers = field === undefined ? [] : readsOf(field.member, field.owner).filter(isDecoder)
    const isRead = readers.some(({ file }) => !field.oneof || texts.get(file).has(local))
    if (!isRead) offenders.add(`${message}.${name}`)
  }
}
for (const { file, source } of sources) {
  if (!file.startsWith('model/')) continue
  const visit = (node, path) => {
    if (MEMBERS.has(node.kind)) {
      if (!readsOf(node).some(isRuntime)) offenders.add(`${path}.${node.name.text}`)
      path = `${path}.${node.name.text}`
    } else if (node.kind === SyntaxKind.InterfaceDeclaration || node.kind === SyntaxKind.TypeAliasDeclaration)
      path = `${file}: ${node.name.text}`
    node.forEachChild(child => visit(child, path))
  }
  visit(source, file)
}
api.close()

let bad = 0
const complain = line => {
  bad++
  console.error(line)
}
for (const offender of offenders) if (!STILL_UNREAD.has(offender)) complain(`${offender} is called supported and read by nothing`)
for (const line of STILL_UNREAD)
  if (!offenders.has(line)) complain(`scripts/check-fields.mjs: mended, take it out of STILL_UNREAD: ${line}`)
if (bad > 0) process.exit(1)
console.log('supported fields: all are read')
