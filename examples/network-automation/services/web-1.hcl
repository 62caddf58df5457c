service {
  id      = "web-1"
  name    = "web"
  address = "127.0.0.1"
  port    = 28401
}
