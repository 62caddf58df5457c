service {
  id   = "shop-v1"
  name = "shop"
  port = 28901
  meta = { version = "v1" }
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28921
    }
  }
}
