Kind = "service-intentions"
Name = "*"
Sources = [{ Name = "*", Action = "deny" }]
