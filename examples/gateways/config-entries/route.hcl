Kind = "http-route"
Name = "shop"
Parents = [{ Name = "edge", SectionName = "web" }]
Rules = [
  {
    Matches = [
      { Path = { Match = "exact", Value = "/" } },
      { Path = { Match = "prefix", Value = "/offers" } }
    ]
    Services = [{ Name = "shop" }]
  }
]
