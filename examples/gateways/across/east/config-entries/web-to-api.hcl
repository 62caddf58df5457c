# Who of them may call it: west's web, and nobody else.
Kind    = "service-intentions"
Name    = "api"
Sources = [{ Name = "web", Peer = "west", Action = "allow" }]
