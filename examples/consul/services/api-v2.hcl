# Version 2 of api: the same name and identity, another id and Meta.
service {
  id   = "api-v2"
  name = "api"
  port = 28003
  meta = {
    version = "v2"
  }

  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 28013
      proxy {
        # /health without mesh TLS, for whoever watches from outside.
        expose {
          paths = [
            {
              path            = "/health"
              local_path_port = 28003
              listener_port   = 28023
            }
          ]
        }
      }
    }
  }
}
