# A service in the mesh whose sidecar is Outrigger. Nomad registers both with its `consul` block's address, which is our agent's or control
# plane's; it asks the program `consul` of the client's PATH for the sidecar's bootstrap:  ln -s /usr/local/bin/outrigger /usr/local/bin/consul
# nomad job run web.nomad.hcl
job "web" {
  datacenters = ["dc1"]

  group "web" {
    network {
      mode = "bridge"
      port "http" {
        static = 8080
        to     = 9090
      }
    }

    service {
      name = "web"
      port = "9090"

      connect {
        sidecar_service {
          proxy {
            upstreams {
              destination_name = "api"
              local_bind_port  = 9191
            }
          }
        }

        # In the place of the Envoy image that Nomad would start.
        sidecar_task {
          name   = "outrigger"
          driver = "docker"

          config {
            image      = "outrigger:local"
            entrypoint = ["/usr/local/bin/node", "--max-semi-space-size=8", "/opt/outrigger/bin/outrigger-proxy"]
            args = [
              "-c", "${NOMAD_SECRETS_DIR}/envoy_bootstrap.json",
              "-l", "${meta.connect.log_level}",
              "--concurrency", "${meta.connect.proxy_concurrency}",
              "--disable-hot-restart",
            ]
          }

          resources {
            cpu    = 250
            memory = 192
          }

          # Running requests get their time: longer than --shutdown-grace-s (5 s).
          kill_timeout   = "15s"
          shutdown_delay = "2s"
        }
      }
    }

    task "web" {
      driver = "docker"

      config {
        image   = "docker.io/library/node:24-bookworm-slim"
        command = "node"
        args    = ["-e", "require('http').createServer(async (q, r) => r.end(await (await fetch('http://127.0.0.1:9191')).text())).listen(9090)"]
      }

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
