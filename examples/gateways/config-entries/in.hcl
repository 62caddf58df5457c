Kind = "api-gateway"
Name = "edge"
Listeners = [
  { Name = "web", Port = 28680, Protocol = "http" }
]
