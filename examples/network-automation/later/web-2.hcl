service {
  id      = "web-2"
  name    = "web"
  address = "127.0.0.1"
  port    = 28402
}
