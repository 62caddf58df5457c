// Which tests show what docs/differences.md claims: for each row of its tables (by the beginning of its first cell) and each heading with
// prose, files and a piece of the title in them. Read by test/differences.test.ts; a claim that stands here or there alone fails it.

/** Each `file: part of a test's title`. */
type Claim = readonly string[]

const claim = (...tests: Claim): Claim => tests

const HTTP1 = 'l7/codec/http1/requests.test.ts'
const HTTP1_ANSWERS = 'l7/codec/http1/client-codec.test.ts'
const HTTP2 = 'l7/codec/http2/server-codec.test.ts'
const HTTP2_CLIENT = 'l7/codec/http2/client-codec.test.ts'
const OWN = 'integration/difference-claims.test.ts'
const FIELDS = 'xds/resources/difference-claims.test.ts'
const DETAILS = 'integration/request-details.test.ts'
const ATTACKS = 'integration/attack-differential.test.ts'
const GO_CONTROL_PLANE = 'integration/go-control-plane.test.ts'
const XDS_CLIENT_DELTA = 'xds/client/client-delta.test.ts'
const XDS_CLIENT_SOTW = 'xds/client/client-sotw.test.ts'
const TLS = 'mtls/tls/tls-handshake.test.ts'
const RESTART = 'integration/hot-restart.test.ts'
const WORKERS = 'integration/workers.test.ts'
const ALONE = 'integration/refusals-end-alone.test.ts'
const DRAIN = 'integration/drain.test.ts'

export const CLAIMS: Readonly<Record<string, Claim>> = {
  'a whole body that an `ext_proc` processor': claim('integration/ext-proc.test.ts: a body may be replaced by one of another length'),
  'a cluster whose secrets come': claim('upstream/cluster/cluster-registry.test.ts: are asked for at once, and waited for beside'),
  'an SDS file with several secrets': claim('integration/sds.test.ts: is as many secrets'),
  'metadata as a whole as text': claim('integration/ext-proc.test.ts: the attributes that are asked for go with'),
  'a `connection_limit` that the runtime': claim('integration/runtime-flags.test.ts: a connection limit counts and refuses'),
  Overload: claim(
    'integration/overload.test.ts: lets clients wait while nobody is accepted, and serves them afterwards',
    'proxy/overload/overload-watch.test.ts: measures the heap and the connections against their maximum',
  ),
  // Stricter.
  'HTTP/1 requests: bare CR or LF': claim(`${ATTACKS}: HTTP/1 requests`),
  '`query_parameter_mutations` on a query': claim('l7/filters/header-filters.test.ts: changes the query: names in order'),
  '`oauth2`: `RESPONSE_CODE_DETAILS` of': claim('l7/filters/oauth2/oauth2.test.ts: refuses an answer that was not made for this browser'),
  '`oauth2`: a request that has no cookies': claim('l7/filters/oauth2/oauth2.test.ts: that cannot be renewed begins anew'),
  '`response_buffer_size` of a health check': claim('xds/resources/cluster.test.ts: of how much a health check looks at'),
  '`oauth2`: a token whose cookie comes twice': claim('l7/filters/oauth2/oauth2.test.ts: whose tokens come twice'),
  '`oauth2`: tokens that a renewal does not renew': claim(
    'l7/filters/oauth2/oauth2.test.ts: that is renewed has no token that was not ours',
  ),
  '`oauth2`: a `flow_id` that the CSRF': claim('l7/filters/oauth2/oauth2.test.ts: puts nothing that the client wrote into a Set-Cookie'),
  '`oauth2`: tokens that no header': claim('l7/filters/oauth2/oauth2.test.ts: refuses the user where the token endpoint answers'),
  '`RESPONSE_CODE_DETAILS` of an answer by': claim('integration/response-filters-differential.test.ts: answers, asks and logs the same'),
  '`custom_response` redirect of a HEAD': claim('integration/response-filters-differential.test.ts: answers a HEAD that is sent elsewhere'),
  '`custom_response` redirect of a request': claim('l7/filters/custom-response.test.ts: lets a response through where there is no other'),
  '`Content-Length` and chunk sizes beyond': claim(`${ATTACKS}: HTTP/1 requests`, `${ATTACKS}: answers of a hostile origin`),
  'HTTP/1 responses: bare CR or LF': claim(
    `${ATTACKS}: answers of a hostile origin`,
    `${HTTP1_ANSWERS}: CVE-2024-23326: 101 that nobody asked for`,
  ),
  'more than 32 interim responses': claim(`${HTTP2_CLIENT}: bounds interim responses`, `${ATTACKS}: answers of a hostile origin`),
  'an upgrade request with a body': claim(
    `${HTTP1}: an upgrade with a body is an ordinary request`,
    'integration/websocket.test.ts: an Upgrade with a body is refused',
  ),
  '`Transfer-Encoding: chunkedx`': claim(`${OWN}: a transfer coding that is none is 400`),
  '`HTTP/1.2`, `HTTP/2.0` in a request line': claim(`${DETAILS}: an HTTP version that is none of ours is 400`),
  'an HTTP/1 request that cannot be read': claim(`${DETAILS}: in words that local_reply_config does not change`),
  'a response that falls silent for': claim(`${DETAILS}: per_try_idle_timeout behind the head of a response breaks it off`),
  'the body of a 204 or 304 by `direct_response`': claim(`${DETAILS}: a 304 by direct_response has no body behind it`),
  '`initial_metadata` of a gRPC service': claim(`${FIELDS}: initial_metadata is what gRPC has`),
  'names in the configuration that no header field': claim(`${FIELDS}: header names that no message has`),
  '`:path`, `host` and their like in': claim(`${FIELDS}: header names that no message has`),
  'constraints of fields in load balancing': claim(`${FIELDS}: constraints hold in extensions too`),
  '`ext_authz` without a service': claim(`${FIELDS}: what has no service or no filters`),
  "RBAC's dynamic metadata": claim('l7/filters/rbac.test.ts: metadata tell of denials alone'),
  '`Accept-Encoding: GZIP`': claim('l7/filters/compressor/compressor.test.ts: x-gzip'),
  'keys of a JSON format': claim(`${FIELDS}: keys of a JSON format are in the order of the configuration`),
  '`%RESPONSE_CODE%` in headers that a route': claim('l7/reply/local-reply-response.test.ts: formats of the route see the status'),
  'a regex whose program RE2 counts': claim(`${FIELDS}: a large regex, and the rate limit action dynamic_metadata`),
  'the rate limit action `dynamic_metadata`': claim(`${FIELDS}: a large regex, and the rate limit action dynamic_metadata`),
  'an HTTP/1 upstream resets a response whose end': claim(
    `${HTTP1_ANSWERS}: a body that the connection ends, cut off by a reset: it may not be all of it`,
  ),
  '`Transfer-Encoding` in the answer to HEAD': claim(`${DETAILS}: an answer to HEAD has no Transfer-Encoding`),
  'HTTP/2: `host` different from': claim(`${HTTP2}: host that differs (CVE-2021-39242)`),
  'HTTP/2: values with white space': claim(`${ATTACKS}: HTTP/2 frames`),
  'HTTP/2: a header block that unpacks': claim(`${ATTACKS}: HTTP/2 frames`),
  'HTTP/2: extended CONNECT taken back': claim(`${ATTACKS}: HTTP/2 frames`),
  '`OPTIONS http://host`': claim(`${ATTACKS}: HTTP/1 requests`),
  'an escape that a digit': claim(`${ATTACKS}: paths, hosts and trust headers that should slip past a rule`),
  'HTTP/2: a malformed message': claim(`${HTTP2}: malformed requests are a stream error before anything is forwarded`),
  'a network RBAC or ext_authz decision': claim(
    'integration/tcp-proxy.test.ts: shows a denied client nothing and dials nothing for it',
    'integration/network-ext-authz.test.ts: before anything is dialled',
  ),
  'RBAC deny rules and matches of routes on repeated': claim(
    'l7/match/header-matcher.test.ts: lets a denying rule see each value and the joined list',
  ),
  "a peer's certificate, where": claim(`${TLS}: with two SPIFFE ids`, `${TLS}: with no URI SAN`),
  'SPIFFE ids in RBAC': claim(
    'l7/rbac/rbac-engine.test.ts: need a validated certificate to allow, and any to deny',
    'l7/rbac/rbac-engine.test.ts: take no SPIFFE id out of a DNS SAN or the subject',
  ),
  'DNS SANs with an asterisk': claim('mtls/peer/dns-names.test.ts: the DNS SAN'),
  '`internal_address_config` without': claim(`${OWN}: internal_address_config without cidr_ranges: nobody is internal`),
  '`x-forwarded-for` with an IPv6 zone': claim('integration/trust-headers.test.ts: what only looks like an address is none'),
  '`x-envoy-original-path`, `-host`': claim(`${ATTACKS}: HTTP/1 requests`),
  'a changed intention': claim(
    'integration/intentions-live.test.ts: a deny closes the live TCP connection of the denied service',
    'integration/identity-changes.test.ts: the next request on an open connection is refused',
  ),
  'handshakes on a chain without': claim(`${OWN}: a client that never finishes its handshake is let go`),
  'HTTP/2 receive windows': claim(`${OWN}: the receive windows of HTTP/2 are 1 MiB a stream and 8 MiB a connection`),
  "a stats tag's regex": claim('metrics/tags.test.ts: a pattern that runs away in a backtracking engine finishes'),
  'admin requests with a foreign': claim('integration/admin.test.ts: refuses what a web page could send'),
  'a compressed body that is broken': claim(
    'l7/filters/decompressor/decompressor.test.ts: is refused, never passed on as if it were whole',
    'integration/body-filters.test.ts: a response that swells too much breaks off',
  ),
  '`api_key_auth` with `hide_credentials`': claim(
    'l7/filters/api-key-auth.test.ts: hides the key and leaves the rest of query and cookies as it came',
  ),
  'a matcher that skips by request headers': claim(
    'l7/filters/matched-filter.test.ts: sees those of filters before it, unless it is skipped or a composite',
  ),
  'several content codings': claim('l7/filters/decompressor/decompressor.test.ts: of several codings lose the outer one'),
  '`host_rewrite` and `path_rewrite` by a format': claim(
    'l7/route/compiled-route.test.ts: the query stays, what no path may hold is encoded, what is no host is not taken',
  ),
  'SANs and subjects that a matcher tree reads': claim('l7/rbac/matcher-rbac.test.ts: reads the names of a validated certificate only'),
  'an exception out of one connection': claim('io/socket-guard.test.ts: whose event throws is closed, and the exception is told once'),
  '`cipher_suites`': claim('mtls/tls/cipher-suites.test.ts: nothing said is null; what there is not is named'),
  'TLS floor': claim(`${TLS}: speaks no version below the floor`),

  // More lenient.
  '`Connection` naming `authorization`': claim(`${HTTP1}: Connection strips no protected field`),
  '`http://host?query`': claim(`${HTTP1}: GET https://b?q HTTP/1.1`),
  '`Proxy-Connection`': claim(`${ATTACKS}: HTTP/1 requests`),
  'an `Upgrade` that `Connection`': claim(`${ATTACKS}: HTTP/1 requests`),
  '`TE: Trailers`': claim(`${ATTACKS}: HTTP/2 frames`),
  'an empty `cookie`': claim(`${ATTACKS}: HTTP/2 frames`),
  '`SETTINGS_NO_RFC7540_PRIORITIES`': claim(`${ATTACKS}: HTTP/2 frames`),
  'a 426 with `Upgrade`': claim(`${ATTACKS}: answers of a hostile origin`),
  'an empty `x-forwarded-proto`': claim(`${ATTACKS}: HTTP/1 requests`),
  '`Expect: 100-continue` without a body': claim(`${ATTACKS}: HTTP/1 requests`, `${HTTP1}: Expect: 100-continue is told, once per message`),
  'an upgrade that the upstream answers with 2xx': claim('integration/websocket.test.ts: is no tunnel because a 200 says'),
  'PROXY headers: a space at the end': claim('proxy/listener/proxy-protocol.test.ts: of version 1 is refused when it is broken'),
  '`compressor`: 206': claim(
    'l7/filters/compressor/compressor.test.ts: a part of a range',
    'l7/filters/compressor/compressor.test.ts: reads codings in any case, x-gzip for gzip',
  ),
  'a tunnel over HTTP/1 that ends': claim(`${ALONE}: of a WebSocket that ends`),
  'an upstream that breaks off behind an interim': claim(`${ALONE}: is tried again where it broke off behind an interim response`),
  'a field that comes several times': claim(`${ALONE}: that a field that came twice goes on twice`),
  'an upgrade to an HTTP/2 upstream that has not': claim(`${HTTP2_CLIENT}: extended CONNECT only when the server takes it`),
  'responses: space before a colon': claim(`${HTTP1_ANSWERS}: obs-fold becomes SP, white space before a colon goes`),
  '103 and other 1xx': claim(`${ATTACKS}: answers of a hostile origin`),
  'HTTP/1 trailers': claim(`${HTTP1}: chunked: Transfer-Encoding and extensions are gone, trailers come`),
  'header case and order': claim(`${HTTP1}: keeps the case and order of header names, and the spelling of Host`),
  'reason phrases of upstreams': claim('l7/codec/http1/server-codec.test.ts: the reason phrase of the upstream stays'),
  'fields that a response names in `Connection`': claim(`${HTTP1_ANSWERS}: hop-by-hop fields are removed, protected ones stay`),
  '`te: trailers` to an HTTP/1 upstream': claim(`${HTTP1_ANSWERS}: TE goes with its connection option`),
  'an upgrade or CONNECT through the buffer filter': claim(
    'l7/filters/header-filters.test.ts: goes on at once without a body, and never waits for the end of a tunnel',
  ),
  'an upgrade that is refused': claim(
    'l7/codec/http1/tunnels.test.ts: a refused upgrade closes the connection, the bytes behind it are dropped',
    'l7/codec/http1/tunnels.test.ts: connection is closed after the response, never pooled',
  ),
  'an early response with a small': claim(
    'l7/codec/http1/server-codec.test.ts: what is left of the body is thrown away and never becomes a request',
  ),
  'a stream refused or never sent': claim('integration/upstream-limits.test.ts: upstream_rq_reuse_race_retry'),
  'HTTP/2 streams to a host whose': claim('upstream/connect/http-pool.test.ts: sends one stream before the SETTINGS'),
  'a pool beyond `max_connection_pools`': claim('upstream/connect/http-pool.test.ts: max_connection_pools'),
  'which certificate a name gets': claim('integration/certificate-choice.test.ts: Names of hosts have no case'),
  '`%REQ(:PATH)%` of a request that is answered by a redirect': claim(`${DETAILS}: the path of a redirect is the one that came`),
  'access log lines': claim('l7/log/access-log-sink.test.ts: hands over the first line of a quiet time at once'),
  '`%REQUESTED_SERVER_NAME%`': claim(`${OWN}: %REQUESTED_SERVER_NAME% is also what TLS termination saw`),
  'a TCP health check without bytes': claim(
    'upstream/health/health-checker.test.ts: without bytes to send make a new connection each time',
  ),
  SIGTERM: claim(`${DRAIN}: cuts what is still busy after --shutdown-grace-s`, `${DRAIN}: exits 0 at once, with requests and tunnels open`),
  'idle upstream connections': claim(`${HTTP1_ANSWERS}: Keep-Alive: timeout is learned`),

  // xDS.
  'the same state-of-the-world version': claim(`${XDS_CLIENT_SOTW}: waits before it repeats a NACK, longer each time`),
  "a NACK's text": claim(
    `${XDS_CLIENT_DELTA}: refuses with every field by path`,
    'xds/resources/listener.test.ts: every bad field of one listener at once',
  ),
  'a new listener version whose': claim(
    `${GO_CONTROL_PLANE}: refuses a bad resource by path, serves the last good one`,
    `${GO_CONTROL_PLANE}: starts though the first routes are refused`,
  ),
  '`config_source` `self`': claim(`${FIELDS}: is the ADS stream`),
  'a cluster that is removed while a route': claim('integration/ads.test.ts: a removed cluster keeps serving while a route names it'),
  'an answer with one resource that is refused': claim('integration/ads.test.ts: takes the good ones beside it'),
  'one name twice in an answer': claim(`${XDS_CLIENT_SOTW}: repeats the last good version in a NACK and does not take a refused`),
  'a listener over LDS whose own routes, mirrors': claim(
    'integration/ads.test.ts: a listener whose own routes name a cluster that is not there',
  ),
  'a cluster that changes': claim('integration/ads.test.ts: a cluster whose connection settings change goes on serving'),
  'listeners at the start': claim('integration/ads.test.ts: at the start a listener serves while another one waits for its routes'),
  'EDS, RDS or SDS by `api_config_source`': claim(`${GO_CONTROL_PLANE}: a stream of its own for each type`),
  'idle connections to a management': claim(`${FIELDS}: an idle stream is pinged every 330 s`),
  'one message': claim(`${FIELDS}: an ADS message may have 50 MiB`),
  'access logs to a gRPC service that is away': claim(
    'l7/log/grpc-access-log.test.ts: drops what is more than the buffer while the service takes nothing',
    'l7/log/grpc-access-log.test.ts: opens another stream after one has ended, later each time',
  ),
  '`google_grpc`': claim(
    `${GO_CONTROL_PLANE}: google_grpc in the clear`,
    'integration/xds-google-grpc.test.ts: TLS by ssl_credentials, tokens by access_token and from a file',
    'xds/resources/google-grpc.test.ts: a service that is not there is refused by name',
    'xds/resources/http-filters/http-filters.test.ts: a token of google_grpc in the clear',
    'l7/client/grpc-targets.test.ts: no more than MAX_GRPC_TARGETS are in use at once',
  ),
  REST: claim('l7/client/async-client.test.ts: gives up on an answer that is too long'),
  'two scopes with one key': claim('integration/route-sources.test.ts: Two scopes with one key are refused'),
  'names on demand': claim(
    'integration/on-demand.test.ts: what the server has not is let go, and asked for again: it may have come',
    'integration/on-demand.test.ts: a request that has a host but no route is answered once it was asked for',
    'proxy/demands.test.ts: that is missing ends with the answer, and one that nobody answers after a while',
    'proxy/demands.test.ts: no more than MAX_DEMANDS names are wanted, which is said once',
  ),
  'an empty first answer of VHDS': claim('integration/on-demand.test.ts: an empty first answer says that there is nothing yet'),
  'a network filter that comes over ECDS': claim(
    'integration/extension-configs.test.ts: a rule that changes ends the connections that it denies',
  ),
  '`*_resources_locator`': claim(
    `${FIELDS}: collections are refused by name`,
    `${GO_CONTROL_PLANE}: names of xdstp:// form are names like others`,
  ),

  'a delta server that first says': claim('integration/extension-configs.test.ts: when the time is over, requests get 500'),

  'spans on their way to a collector that is slow': claim(
    'l7/tracing/span-queue.test.ts: gets few batches; then spans wait, and beyond the limit they are dropped',
  ),
  '`%SPAN_ID%` with Zipkin': claim('integration/tracing.test.ts: is used by who names no provider, where the bootstrap does'),
  "span ids in Zipkin's protobuf": claim('integration/tracing.test.ts: as protobuf, with ids of 128 bits and a span a try'),

  // More than one core.
  'circuit breakers, `connection_limit`, local rate limits': claim(`${OWN}: each has the whole limit of a breaker`),
  '`consecutive_5xx` and its kin': claim(`${WORKERS}: a host that one worker finds failing is banned by every one`),
  '`cx_open` and the other breaker gauges': claim(`${OWN}: the gauges say how many are open`),
  'DNS clusters': claim(`${OWN}: each asks for the names of DNS clusters`),
  'accepted connections': claim(`${WORKERS}: spreads connections evenly`),
  'a crash': claim(`${WORKERS}: a worker that is killed takes its own connections along and is replaced`),

  // Prose, by its heading.
  'Connections outlive certificates': claim(
    'integration/identity-changes.test.ts: inline, five times under 50 connections: nothing is dropped',
    'integration/identity-changes.test.ts: by SDS, both ways',
  ),
  'Memory of handshakes': claim(
    'integration/crowds.test.ts: take little memory after half a ClientHello',
    'integration/crowds.test.ts: take what OpenSSL and its socket need after a whole ClientHello',
  ),
  'TLS alerts': claim(`${TLS}: without a certificate, and tells it so by an alert`),
  'Says more': claim(
    'integration/explain.test.ts: x-outrigger-denied-by',
    'integration/ads.test.ts: x-outrigger-detail',
    'integration/bad-bootstrap.test.ts: /config_unsupported',
    'integration/failure-reasons.test.ts: is said once in the log, however many requests fail',
    'integration/failure-reasons.test.ts: leaves response flags and details as Envoy has them',
    'integration/why-mesh.test.ts: x-outrigger-reason',
    'integration/config-status.test.ts: lists the fields of a resource that were accepted without effect',
  ),
  'Hot restart': claim(`${RESTART}: changes nothing where the new process cannot start`, `${RESTART}: picks a base id of its own`),
  'Health discovery': claim(
    'xds/health-discovery/health-discovery-messages.test.ts: a cluster named twice',
    'integration/health-discovery.test.ts: checks whom the server names, and tells it what became of them',
  ),
  'Load reports': claim(
    'integration/load-reports.test.ts: ours adds latencies and failed connections for our own control plane',
    'sidecar/load-reports/load-reporter.test.ts: is ended by us where its answer asks for the impossible',
  ),
  'Statistics that stay 0': claim(
    'metrics/stat-tables.test.ts: a name of the tables is counted by some code, or said to stay 0',
    'integration/flow-control-stats.test.ts: a client that reads nothing pauses the upstream',
  ),
  'Not there': claim(
    'xds/resources/tracing.test.ts: another tracer',
    'integration/tracing.test.ts: says everything of a request',
    'integration/admin-probes.test.ts: tools of its allocator',
  ),
}
