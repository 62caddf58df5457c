Kind = "service-intentions"
Name = "partner"
Sources = [{ Name = "shop", Action = "allow" }]
