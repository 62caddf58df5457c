Kind = "service-intentions"
Name = "shop"
Sources = [
  {
    Name   = "web"
    Action = "allow"
  }
]
