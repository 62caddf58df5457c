service {
  id   = "shop-v2"
  name = "shop"
  port = 28902
  meta = { version = "v2" }
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28922
    }
  }
}
