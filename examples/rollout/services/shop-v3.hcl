service {
  id   = "shop-v3"
  name = "shop"
  port = 28903
  meta = { version = "v3" }
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28923
    }
  }
}
