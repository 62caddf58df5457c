// nginx as its users would configure it for the rows that it can do: one worker, keep-alive to the origin, no access log.

export function nginxConfig({ port, innerPort, origin, dir, pair }) {
  const common = 'access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;'
  const up = (name, target) => `upstream ${name} { server 127.0.0.1:${target}; keepalive 512; keepalive_requests 100000000; }`
  const location = (target, extra = '') =>
    `location / { proxy_pass ${target}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; ${extra} }`
  const servers = pair
    ? `${up('inner', innerPort)} ${up('origin', origin)}
       server { listen 127.0.0.1:${port}; ${location('https://inner', `proxy_ssl_certificate ${dir}/client.pem; proxy_ssl_certificate_key ${dir}/client.key; proxy_ssl_trusted_certificate ${dir}/ca.pem; proxy_ssl_verify off; proxy_ssl_protocols TLSv1.3;`)} }
       server { listen 127.0.0.1:${innerPort} ssl; ssl_certificate ${dir}/server.pem; ssl_certificate_key ${dir}/server.key; ssl_client_certificate ${dir}/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3; ${location('http://origin')} }`
    : `${up('origin', origin)} server { listen 127.0.0.1:${port}; ${location('http://origin')} }`
  return `daemon off; worker_processes 1; error_log stderr crit; pid ${dir}/nginx.pid; events { worker_connections 4096; }
http { ${common} client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s; ${servers} }`
}
