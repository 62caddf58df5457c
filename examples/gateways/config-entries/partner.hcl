Kind = "service-defaults"
Name = "partner"
Protocol = "http"
Destination = {
  Addresses = ["localhost"]
  Port = 28605
}
