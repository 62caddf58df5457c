# Version 1 of api: the same name and identity, another id and Meta.
service {
  id   = "api-v1"
  name = "api"
  port = 28002
  meta = {
    version = "v1"
  }

  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 28012
      proxy {
        # /health without mesh TLS, for whoever watches from outside.
        expose {
          paths = [
            {
              path            = "/health"
              local_path_port = 28002
              listener_port   = 28022
            }
          ]
        }
      }
    }
  }
}
