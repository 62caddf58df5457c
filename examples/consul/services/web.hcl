# The service that callers reach. Its sidecar gives it the service api on a port of its own machine.
service {
  name = "web"
  port = 28001

  check {
    name     = "web answers"
    http     = "http://127.0.0.1:28001/"
    interval = "5s"
  }

  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 28011
      proxy {
        upstreams = [
          {
            destination_name = "api"
            local_bind_port  = 28091
          }
        ]
      }
    }
  }
}
