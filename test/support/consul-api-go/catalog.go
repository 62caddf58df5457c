package main

import (
	"github.com/hashicorp/consul/api"
)

func external(node, service string) error {
	_, err := client.Catalog().Register(&api.CatalogRegistration{
		Node: node, Address: "192.0.2.10", NodeMeta: map[string]string{"kind": "external"},
		Service: &api.AgentService{ID: service + "-1", Service: service, Port: 5432, Tags: []string{"primary"}, Meta: map[string]string{"version": "7"}},
		Checks: api.HealthChecks{{Node: node, CheckID: service + "-check", Name: "alive", Status: "passing", ServiceID: service + "-1"},
			{Node: node, CheckID: "node-alive", Name: "node alive", Status: "passing"}},
	}, nil)
	return err
}

func catalogCalls() []call {
	catalog, health := client.Catalog(), client.Health()
	return []call{
		{"catalog.Register", func() error {
			if err := external("cat-node", "cat-db"); err != nil {
				return err
			}
			s, _, err := catalog.Service("cat-db", "", nil)
			if err != nil {
				return err
			}
			return first(want("services", len(s), 1), want("Node", s[0].Node, "cat-node"), want("Address", s[0].Address, "192.0.2.10"), want("NodeMeta", s[0].NodeMeta["kind"], "external"))
		}},
		{"catalog.Register invalid", func() error {
			_, err := catalog.Register(&api.CatalogRegistration{Node: "cat-bad"}, nil)
			return wantError(err, "Must provide address if SkipNodeUpdate is not set")
		}},
		{"catalog.Register no node", func() error {
			_, err := catalog.Register(&api.CatalogRegistration{Address: "1.2.3.4"}, nil)
			return wantError(err, "Must provide node")
		}},
		{"catalog.Datacenters", func() error {
			d, err := catalog.Datacenters()
			return first(err, want("datacenters", d, []string{"dc1"}))
		}},
		{"catalog.Nodes", func() error {
			n, _, err := catalog.Nodes(nil)
			return first(err, must("fewer than two nodes", len(n) >= 2))
		}},
		{"catalog.Nodes node-meta", func() error {
			n, _, err := catalog.Nodes(&api.QueryOptions{NodeMeta: map[string]string{"kind": "external"}})
			return first(err, want("nodes", len(n), 1))
		}},
		{"catalog.Nodes filter", func() error {
			n, _, err := catalog.Nodes(&api.QueryOptions{Filter: `Meta.kind == "external"`})
			return first(err, want("nodes", len(n), 1))
		}},
		{"catalog.Nodes near", func() error { _, _, err := catalog.Nodes(&api.QueryOptions{Near: "_agent"}); return err }},
		{"catalog.Nodes unknown dc", func() error {
			_, _, err := catalog.Nodes(&api.QueryOptions{Datacenter: "nowhere"})
			return wantError(err, "500", "No path to datacenter")
		}},
		{"catalog.Nodes namespace", func() error {
			_, _, err := catalog.Nodes(&api.QueryOptions{Namespace: "team"})
			return wantError(err, "400")
		}},
		{"catalog.Services", func() error {
			s, _, err := catalog.Services(nil)
			return first(err, want("tags", s["cat-db"], []string{"primary"}), must("consul", s["consul"] != nil))
		}},
		{"catalog.Services filter", func() error {
			s, _, err := catalog.Services(&api.QueryOptions{Filter: `ServiceName == "cat-db"`})
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.Services node-meta", func() error {
			s, _, err := catalog.Services(&api.QueryOptions{NodeMeta: map[string]string{"kind": "external"}})
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.Service tag", func() error {
			s, _, err := catalog.Service("cat-db", "replica", nil)
			return first(err, want("services", len(s), 0))
		}},
		{"catalog.Service filter", func() error {
			s, _, err := catalog.Service("cat-db", "", &api.QueryOptions{Filter: `ServiceMeta.version == "7"`})
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.Service consul", func() error {
			s, _, err := catalog.Service("consul", "", nil)
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.ServiceMultipleTags", func() error {
			s, _, err := catalog.ServiceMultipleTags("ag-web", []string{"v1", "blue"}, nil)
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.Service case", func() error {
			s, _, err := catalog.Service("CAT-DB", "", nil)
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.Connect", func() error {
			s, _, err := catalog.Connect("ag-side", "", nil)
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.ConnectMultipleTags", func() error {
			s, _, err := catalog.ConnectMultipleTags("ag-side", []string{"v1"}, nil)
			return first(err, want("services", len(s), 1))
		}},
		{"catalog.Node", func() error {
			n, _, err := catalog.Node("cat-node", nil)
			return first(err, must("Node", n != nil && n.Node.Node == "cat-node"), must("Services", n != nil && n.Services["cat-db-1"] != nil))
		}},
		{"catalog.Node unknown", func() error {
			n, _, err := catalog.Node("no-such", nil)
			return first(err, must("is there", n == nil))
		}},
		{"catalog.NodeServiceList", func() error {
			n, _, err := catalog.NodeServiceList("cat-node", nil)
			return first(err, want("services", len(n.Services), 1))
		}},
		{"catalog.NodeServiceList filter", func() error {
			n, _, err := catalog.NodeServiceList("cat-node", &api.QueryOptions{Filter: `Service == "other"`})
			return first(err, want("services", len(n.Services), 0))
		}},
		{"catalog.GatewayServices", func() error {
			s, _, err := catalog.GatewayServices("no-gateway", nil)
			return first(err, want("services", len(s), 0))
		}},
		{"catalog blocks on nodes", func() error {
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) { _, m, err := catalog.Nodes(q); return m, err },
				func() error { return external("cat-node-2", "cat-db2") })
		}},
		{"catalog blocks on an absent service", func() error {
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) {
				_, m, err := catalog.Service("cat-late", "", q)
				return m, err
			},
				func() error { return external("cat-node-2", "cat-late") })
		}},
		{"health.Node", func() error {
			c, _, err := health.Node("cat-node", nil)
			return first(err, want("checks", len(c), 2), want("aggregated", c.AggregatedStatus(), "passing"))
		}},
		{"health.Node filter", func() error {
			c, _, err := health.Node("cat-node", &api.QueryOptions{Filter: `ServiceID == ""`})
			return first(err, want("checks", len(c), 1))
		}},
		{"health.Node serfHealth", func() error {
			name, err := client.Agent().NodeName()
			if err != nil {
				return err
			}
			c, _, err := health.Node(name, &api.QueryOptions{Filter: `CheckID == "serfHealth"`})
			return first(err, want("checks", len(c), 1))
		}},
		{"health.Checks", func() error {
			c, _, err := health.Checks("cat-db", nil)
			return first(err, want("checks", len(c), 1))
		}},
		{"health.Checks filter", func() error {
			c, _, err := health.Checks("cat-db", &api.QueryOptions{Filter: `Status == "critical"`})
			return first(err, want("checks", len(c), 0))
		}},
		{"health.Service", func() error {
			s, _, err := health.Service("cat-db", "primary", true, nil)
			return first(err, want("entries", len(s), 1), want("checks", len(s[0].Checks), 2))
		}},
		{"health.Service filter", func() error {
			s, _, err := health.Service("ag-tagged", "", false, &api.QueryOptions{Filter: `Service.TaggedAddresses.wan.Address == "198.18.0.1"`})
			return first(err, want("entries", len(s), 1))
		}},
		{"health.Service filter by node meta", func() error {
			s, _, err := health.Service("cat-db", "", false, &api.QueryOptions{NodeMeta: map[string]string{"kind": "internal"}})
			return first(err, want("entries", len(s), 0))
		}},
		{"health.ServiceMultipleTags", func() error {
			s, _, err := health.ServiceMultipleTags("ag-side", []string{"v1", "blue"}, false, nil)
			return first(err, want("entries", len(s), 1))
		}},
		{"health.Connect", func() error {
			s, _, err := health.Connect("ag-side", "", false, nil)
			return first(err, want("entries", len(s), 1))
		}},
		{"health.ConnectMultipleTags", func() error {
			s, _, err := health.ConnectMultipleTags("ag-side", []string{"blue"}, false, nil)
			return first(err, want("entries", len(s), 1))
		}},
		{"health.Ingress", func() error {
			s, _, err := health.Ingress("cat-db", false, nil)
			return first(err, want("entries", len(s), 0))
		}},
		{"health.State any", func() error {
			c, _, err := health.State("any", nil)
			return first(err, must("too few", len(c) > 3))
		}},
		{"health.State filter", func() error {
			c, _, err := health.State("any", &api.QueryOptions{Filter: `Node == "cat-node"`})
			return first(err, want("checks", len(c), 2))
		}},
		{"health.State unknown", func() error { _, _, err := health.State("broken", nil); return wantError(err, "nsupported state") }},
		{"catalog.Deregister check", func() error {
			_, err := catalog.Deregister(&api.CatalogDeregistration{Node: "cat-node", CheckID: "node-alive"}, nil)
			if err != nil {
				return err
			}
			c, _, err := health.Node("cat-node", nil)
			return first(err, want("checks", len(c), 1))
		}},
		{"catalog.Deregister service", func() error {
			_, err := catalog.Deregister(&api.CatalogDeregistration{Node: "cat-node", ServiceID: "cat-db-1"}, nil)
			if err != nil {
				return err
			}
			s, _, err := catalog.Service("cat-db", "", nil)
			return first(err, want("services", len(s), 0))
		}},
		{"catalog.Deregister node", func() error {
			_, err := catalog.Deregister(&api.CatalogDeregistration{Node: "cat-node"}, nil)
			if err != nil {
				return err
			}
			n, _, err := catalog.Node("cat-node", nil)
			return first(err, must("still there", n == nil))
		}},
	}
}
