import { describe, expect, test } from 'vitest'
import { compileTagProducer, defaultTagProducer, type TagProducer } from '../../src/metrics/tags.js'
import type { StatsTag } from '../../src/model/bootstrap.js'
import { consulTags } from './consul-tags.js'

function shown(producer: TagProducer, name: string): string {
  const { name: extracted, tags } = producer.produce(name)
  return `${extracted} ${tags.map(tag => `${tag.name}=${tag.value}`).join(' ')}`.trim()
}

function compiled(tags: readonly StatsTag[], useAllDefaultTags = true): TagProducer {
  const result = compileTagProducer({ useAllDefaultTags, tags })
  if (!result.ok) throw new Error(JSON.stringify(result.errors))
  return result.value
}

const regexTag = (name: string, regex: string): StatsTag => ({ name, regex, fixedValue: null })

describe('default tags', () => {
  const producer = defaultTagProducer()
  test.each([
    ['cluster.local_app.upstream_rq_200', 'cluster.upstream_rq envoy.response_code=200 envoy.cluster_name=local_app'],
    ['cluster.local_app.upstream_rq_2xx', 'cluster.upstream_rq_xx envoy.response_code_class=2 envoy.cluster_name=local_app'],
    ['cluster.local_app.upstream_rq_0rtt', 'cluster.upstream_rq_0rtt envoy.cluster_name=local_app'],
    ['cluster.x.grpc.y.upstream_rq_timeout', 'cluster.grpc.upstream_rq_timeout envoy.grpc_bridge_service=y envoy.cluster_name=x'],
    [
      'cluster.x.grpc.pkg_Svc.Get.success',
      'cluster.grpc.success envoy.grpc_bridge_method=Get envoy.grpc_bridge_service=pkg_Svc envoy.cluster_name=x',
    ],
    ['cluster.a.ssl.ciphers.TLS_AES_128_GCM_SHA256', 'cluster.ssl.ciphers cipher_suite=TLS_AES_128_GCM_SHA256 envoy.cluster_name=a'],
    ['cluster.a.ssl.versions.TLSv1.3', 'cluster.ssl.versions envoy.ssl_version=TLSv1.3 envoy.cluster_name=a'],
    ['listener.127.0.0.1_80.downstream_cx_total', 'listener.downstream_cx_total envoy.listener_address=127.0.0.1_80'],
    ['listener.[__1]_80.downstream_cx_total', 'listener.downstream_cx_total envoy.listener_address=[__1]_80'],
    ['listener.mine.downstream_cx_total', 'listener.downstream_cx_total envoy.listener_address=mine'],
    ['listener.admin.downstream_cx_total', 'listener.admin.downstream_cx_total'],
    [
      'listener.127.0.0.1_80.http.in.downstream_rq_5xx',
      'listener.http.downstream_rq_xx envoy.response_code_class=5 envoy.http_conn_manager_prefix=in envoy.listener_address=127.0.0.1_80',
    ],
    [
      'listener.0.0.0.0_80.worker_0.downstream_cx_total',
      'listener.worker_downstream_cx_total envoy.worker_id=0 envoy.listener_address=0.0.0.0_80',
    ],
    ['listener.0.0.0.0_80.ssl.ciphers.AES128-SHA', 'listener.ssl.ciphers envoy.ssl_cipher=AES128-SHA envoy.listener_address=0.0.0.0_80'],
    ['listener.0.0.0.0_80.ssl.curves.X25519', 'listener.ssl.curves envoy.ssl_curve=X25519 envoy.listener_address=0.0.0.0_80'],
    [
      'listener.0.0.0.0_80.ssl.certificate.web.expiration_unix_time_seconds',
      'listener.ssl.certificate.expiration_unix_time_seconds envoy.tls_certificate=web envoy.listener_address=0.0.0.0_80',
    ],
    ['server.worker_0.watchdog_miss', 'server.worker_watchdog_miss envoy.worker_id=0'],
    [
      'http.in.rds.my.route/x.update_attempt',
      'http.rds.update_attempt envoy.rds_route_config=my.route/x envoy.http_conn_manager_prefix=in',
    ],
    [
      'http.in.user_agent.ios.downstream_cx_total',
      'http.user_agent.downstream_cx_total envoy.http_user_agent=ios envoy.http_conn_manager_prefix=in',
    ],
    ['http.in.rbac.policy.p1.shadow_denied', 'http.rbac.policy.shadow_denied envoy.rbac_policy_name=p1 envoy.http_conn_manager_prefix=in'],
    ['http.in.rbac.rules.allowed', 'http.rbac.allowed envoy.rbac_http_prefix=rules envoy.http_conn_manager_prefix=in'],
    ['http.in.rbac.allowed', 'http.rbac.allowed envoy.http_conn_manager_prefix=in'],
    ['connect_authz.rbac.policy.web->db.denied', 'rbac.policy.denied envoy.rbac_policy_name=web->db envoy.rbac_prefix=connect_authz'],
    ['connect_authz.rbac.denied', 'rbac.denied envoy.rbac_prefix=connect_authz'],
    ['http_lrl.http_local_rate_limit.ok', 'http_local_rate_limit.ok envoy.local_http_ratelimit_prefix=http_lrl'],
    ['tcp.db.downstream_cx_total', 'tcp.downstream_cx_total envoy.tcp_prefix=db'],
    ['connection_limit.inbound.limited_connections', 'connection_limit.limited_connections envoy.connection_limit_prefix=inbound'],
    [
      'vhost.vh.vcluster.other.upstream_rq_404',
      'vhost.vcluster.upstream_rq envoy.response_code=404 envoy.virtual_cluster=other envoy.virtual_host=vh',
    ],
    ['vhost.vh.route.rsp.upstream_rq_total', 'vhost.route.upstream_rq_total envoy.virtual_host=vh envoy.route=rsp'],
    ['sds.leaf.update_success', 'sds.update_success envoy.xds_resource_name=leaf'],
    [
      'mongo.m.collection.c.callsite.s.query.total',
      'mongo.collection.callsite.query.total envoy.mongo_callsite=s envoy.mongo_collection=c envoy.mongo_prefix=m',
    ],
    ['proxy_proto.versions.v2.found', 'proxy_proto.found envoy.proxy_protocol_version=2'],
    ['server.live', 'server.live'],
    ['tcp', 'tcp'],
    ['cluster', 'cluster'],
  ])('%s', (name, expected) => {
    expect(shown(producer, name)).toBe(expected)
  })
})

describe('Consul names', () => {
  const producer = compiled(consulTags('web'))
  const fixed = 'local_cluster=web consul.source.service=web consul.source.namespace=default consul.source.partition=default'
  const destination = (values: Record<string, string>) =>
    Object.entries(values)
      .map(([key, value]) => `consul.destination.${key}=${value}`)
      .join(' ')

  test('a subset behind passthrough, in a partition, in another datacenter', () => {
    const expected = destination({
      custom_hash: '',
      service_subset: 'v1',
      service: 'api',
      namespace: 'default',
      partition: 'part',
      datacenter: 'dc2',
      routing_type: 'internal-v1',
      trust_domain: '1111-2222',
      target: 'v1.api.default.part.dc2',
      full_target: 'v1.api.default.part.dc2.internal-v1.1111-2222',
    })
    expect(shown(producer, 'cluster.passthrough~v1.api.default.part.dc2.internal-v1.1111-2222.consul.upstream_rq_5xx')).toBe(
      `cluster.upstream_rq_xx envoy.response_code_class=5 ${fixed} envoy.cluster_name=passthrough~v1 ${expected}`,
    )
  })

  test('a peered service has a peer and no datacenter', () => {
    const expected = destination({
      custom_hash: '',
      service_subset: '',
      service: 'billing',
      namespace: 'default',
      peer: 'peer1',
      routing_type: 'external',
      trust_domain: 'td',
      target: 'billing.default.peer1',
      full_target: 'billing.default.peer1.external.td',
    })
    expect(shown(producer, 'cluster.billing.default.peer1.external.td.consul.upstream_cx_total')).toBe(
      `cluster.upstream_cx_total ${fixed} envoy.cluster_name=billing ${expected}`,
    )
  })

  test('the marker of a failover child is its custom hash', () => {
    const { tags } = producer.produce('cluster.failover-target~0~web.default.dc1.internal.td.consul.upstream_cx_total')
    expect(tags.find(tag => tag.name === 'consul.destination.custom_hash')?.value).toBe('failover-target~0')
    expect(tags.find(tag => tag.name === 'consul.destination.service')?.value).toBe('web')
  })

  test('the local application has no destination', () => {
    expect(shown(producer, 'cluster.local_app.upstream_rq_total')).toBe(`cluster.upstream_rq_total ${fixed} envoy.cluster_name=local_app`)
  })

  test('an upstream listener keeps the prefix `upstream`, the rest becomes tags', () => {
    const upstream =
      'consul.upstream.service=api consul.upstream.datacenter=dc1 consul.upstream.namespace=default consul.upstream.partition=default'
    expect(shown(producer, 'http.upstream.api.default.default.dc1.downstream_rq_total')).toBe(
      `http.downstream_rq_total ${upstream} ${fixed} envoy.http_conn_manager_prefix=upstream`,
    )
    expect(shown(producer, 'tcp.upstream.api.default.default.dc1.downstream_cx_total')).toBe(
      `tcp.downstream_cx_total ${upstream} ${fixed} envoy.tcp_prefix=upstream`,
    )
  })

  test('a peered upstream', () => {
    expect(shown(producer, 'tcp.upstream_peered.api.default.peer1.downstream_cx_total')).toBe(
      'tcp.downstream_cx_total consul.upstream.service=api consul.upstream.peer=peer1 consul.upstream.namespace=default ' +
        `${fixed} envoy.tcp_prefix=upstream_peered`,
    )
  })
})

describe('custom tags', () => {
  test('without a second group the removed part is the value', () => {
    expect(shown(compiled([regexTag('part', '(_heap)')]), 'server.memory_heap_size')).toBe('server.memory_size part=_heap')
  })

  test('a group that took no part in the match gives an empty value and removes nothing', () => {
    expect(shown(compiled([regexTag('alt', 'MEM|(_zzz)|memory_phys')]), 'server.memory_physical_size')).toBe(
      'server.memory_physical_size alt=',
    )
    expect(shown(compiled([regexTag('second', '^(server)\\.(zzz)?')]), 'server.live')).toBe('.live second=')
  })

  test('a regex without groups extracts nothing', () => {
    expect(shown(compiled([regexTag('none', 'server')]), 'server.live')).toBe('server.live')
  })

  test('of two tags of one name the first counts', () => {
    const producer = compiled([
      { name: 'a', regex: null, fixedValue: '1' },
      { name: 'a', regex: null, fixedValue: '2' },
      regexTag('envoy.response_code', '_rq_(4(\\d\\d))$'),
    ])
    expect(shown(producer, 'cluster.c.upstream_rq_404')).toBe('cluster.upstream_rq envoy.response_code=404 a=1 envoy.cluster_name=c')
  })

  test('without default tags only those named are extracted', () => {
    const producer = compiled([{ name: 'envoy.cluster_name', regex: null, fixedValue: null }], false)
    expect(shown(producer, 'cluster.c.upstream_rq_404')).toBe('cluster.upstream_rq_404 envoy.cluster_name=c')
  })

  test('lookahead, as in the bootstraps of Kuma, decides what is captured', () => {
    const producer = compiled([regexTag('kafka_type', '^kafka\\..*\\.(.*?(?=_duration|$))')], false)
    expect(shown(producer, 'kafka.broker.request.fetch_duration')).toBe('kafka.broker.request._duration kafka_type=fetch')
    expect(shown(producer, 'kafka.broker.request.fetch')).toBe('kafka.broker.request. kafka_type=fetch')
  })

  test('a pattern that runs away in a backtracking engine finishes', () => {
    const tags = [regexTag('bad', '^(([a-z]+)+)$'), regexTag('worse', '^((\\w+\\w+)+)!$')]
    const slow: string[] = []
    const result = compileTagProducer({ useAllDefaultTags: false, tags }, tag => slow.push(tag.name))
    const run = 'a'.repeat(5000)
    expect(result.ok && result.value.produce(`${run}!`)).toEqual({ name: '!', tags: [{ name: 'worse', value: run }] })
    expect(slow).toEqual(['bad'])
  })

  test('errors name the field: bad regex, no default rule, empty name', () => {
    const result = compileTagProducer({
      useAllDefaultTags: true,
      tags: [regexTag('a', '('), { name: 'nope', regex: null, fixedValue: null }, { name: '', regex: null, fixedValue: 'x' }],
    })
    expect(result.ok ? [] : result.errors.map(error => error.path)).toEqual([
      'stats_config.stats_tags[0].regex',
      'stats_config.stats_tags[1]',
      'stats_config.stats_tags[2].tag_name',
    ])
  })
})
