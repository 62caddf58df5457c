// HAProxy as its users would configure it for the rows that it can do: one thread, in tcp mode for the rows without HTTP.

export function haproxyConfig({ port, innerPort, origin, dir, pair, tcp }) {
  const mode = tcp ? 'tcp' : 'http'
  const head = `global
  nbthread 1
  maxconn 4000
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  ${tcp ? '' : 'option http-keep-alive'}
`
  if (!pair) return `${head}listen in\n  bind 127.0.0.1:${port}\n  server origin 127.0.0.1:${origin} maxconn 10000\n`
  return `${head}listen out
  bind 127.0.0.1:${port}
  server inner 127.0.0.1:${innerPort} ssl crt ${dir}/client.both.pem ca-file ${dir}/ca.pem verify required ssl-min-ver TLSv1.3 alpn http/1.1
listen inner
  bind 127.0.0.1:${innerPort} ssl crt ${dir}/server.both.pem ca-file ${dir}/ca.pem verify required ssl-min-ver TLSv1.3 alpn http/1.1
  server origin 127.0.0.1:${origin}
`
}
