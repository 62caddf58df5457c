# nginx follows the catalog: `outrigger sync -config tasks.hcl`. What can stand here: docs/network-automation.md
port        = 28458
working_dir = "/etc/nginx/sync"

buffer_period {
  min = "200ms"
  max = "2s"
}

task "nginx" {
  description = "a load balancer in front of web"

  template {
    source      = "nginx.conf.tmpl"
    destination = "/etc/nginx/nginx.conf"
    mode        = "0644"
    check       = ["nginx", "-t", "-q", "-c", "{file}"]
  }

  # Before the first start there is nobody to tell (nginx -t leaves an empty pid file).
  reload {
    command = "test ! -s /etc/nginx/nginx.pid || nginx -c /etc/nginx/nginx.conf -s reload"
    shell   = true
  }
}
