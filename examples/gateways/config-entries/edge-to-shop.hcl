Kind = "service-intentions"
Name = "shop"
Sources = [{ Name = "edge", Action = "allow" }]
