package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

func register(name string, change func(*api.AgentServiceRegistration)) error {
	r := &api.AgentServiceRegistration{Name: name, Port: 1000, Tags: []string{"v1", "blue"}, Meta: map[string]string{"version": "1"}}
	if change != nil {
		change(r)
	}
	return client.Agent().ServiceRegister(r)
}

func withTTL(r *api.AgentServiceRegistration) {
	r.Check = &api.AgentServiceCheck{CheckID: r.Name + "-ttl", TTL: "10m", Status: "passing"}
}

func agentCalls() []call {
	agent := client.Agent()
	return []call{
		{"agent.Self", func() error {
			self, err := agent.Self()
			if err != nil {
				return err
			}
			config := self["Config"]
			version, _ := config["Version"].(string)
			return first(must("Config.Version is not 1.x", strings.HasPrefix(version, "1.2")),
				must("Config.Server", config["Server"] == true), must("Member.Port", self["Member"]["Port"].(float64) > 0),
				must("Member.Tags.role", self["Member"]["Tags"].(map[string]any)["role"] == "consul"))
		}},
		{"agent.NodeName", func() error { n, err := agent.NodeName(); return first(err, must("is empty", n != "")) }},
		{"agent.Host", func() error {
			h, err := agent.Host()
			return first(err, must("Memory", err != nil || h["Memory"] != nil), must("CPU", err != nil || h["CPU"] != nil))
		}},
		{"agent.Version", func() error {
			v, err := agent.Version()
			return first(err, must("HumanVersion", err != nil || v["HumanVersion"] != nil))
		}},
		{"agent.Metrics", func() error {
			m, err := agent.Metrics()
			return first(err, must("Gauges is empty", err != nil || len(m.Gauges) > 0))
		}},
		{"agent.MetricsStream", func() error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			body, err := agent.MetricsStream(ctx)
			if err != nil {
				return err
			}
			defer body.Close()
			_, err = io.ReadAtLeast(body, make([]byte, 20), 20)
			return err
		}},
		{"agent.Reload", func() error { return agent.Reload() }},
		{"agent.Members", func() error {
			m, err := agent.Members(false)
			if err != nil {
				return err
			}
			return first(want("members", len(m), 1), must("Port", m[0].Port > 0), must("IsConsulServer", m[0].IsConsulServer()), want("Status", m[0].Status, 1))
		}},
		{"agent.Members wan", func() error {
			m, err := agent.Members(true)
			return first(err, want("members", len(m), 1))
		}},
		{"agent.MembersOpts filter", func() error {
			m, err := agent.MembersOpts(api.MembersOpts{Filter: `Name == "no such node"`})
			return first(err, want("members", len(m), 0))
		}},
		{"agent.Join", func() error { return wantError(agent.Join("127.0.0.1:1", false)) }},
		{"agent.ForceLeave", func() error { return wantError(agent.ForceLeave("no-such-node"), "No node found with name") }},
		{"agent.ForceLeavePrune", func() error { return wantError(agent.ForceLeavePrune("no-such-node")) }},
		{"agent.ServiceRegister", func() error {
			if err := register("ag-web", withTTL); err != nil {
				return err
			}
			s, _, err := agent.Service("ag-web", nil)
			if err != nil {
				return err
			}
			return first(want("Tags", s.Tags, []string{"v1", "blue"}), want("Port", s.Port, 1000), want("Weights", s.Weights, api.AgentWeights{Passing: 1, Warning: 1}))
		}},
		{"agent.ServiceRegister sidecar", func() error {
			err := register("ag-side", func(r *api.AgentServiceRegistration) {
				r.Connect = &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{
					Proxy: &api.AgentServiceConnectProxyConfig{Upstreams: []api.Upstream{{DestinationName: "ag-web", LocalBindPort: 9191}}}}}
			})
			if err != nil {
				return err
			}
			s, _, err := agent.Service("ag-side-sidecar-proxy", nil)
			if err != nil {
				return err
			}
			return first(want("Kind", s.Kind, api.ServiceKindConnectProxy), want("upstreams", len(s.Proxy.Upstreams), 1), must("Port", s.Port >= 21000))
		}},
		{"agent.ServiceRegisterOpts", func() error {
			return agent.ServiceRegisterOpts(&api.AgentServiceRegistration{Name: "ag-opts", Port: 1}, api.ServiceRegisterOpts{ReplaceExistingChecks: true})
		}},
		{"agent.ServiceRegister tagged addresses", func() error {
			err := register("ag-tagged", func(r *api.AgentServiceRegistration) {
				r.Address = "10.1.2.3"
				r.TaggedAddresses = map[string]api.ServiceAddress{"lan": {Address: "10.1.2.3", Port: 80}, "wan": {Address: "198.18.0.1", Port: 81}}
			})
			if err != nil {
				return err
			}
			s, _, err := agent.Service("ag-tagged", nil)
			return first(err, want("wan", s.TaggedAddresses["wan"], api.ServiceAddress{Address: "198.18.0.1", Port: 81}))
		}},
		{"agent.Service hash blocks", func() error {
			if err := register("ag-hash", nil); err != nil {
				return err
			}
			s, _, err := agent.Service("ag-hash", nil)
			if err != nil {
				return err
			}
			woken := make(chan error, 1)
			go func() {
				n, _, err := agent.Service("ag-hash", &api.QueryOptions{WaitHash: s.ContentHash, WaitTime: 15 * time.Second})
				if err == nil && n.ContentHash == s.ContentHash {
					err = fmt.Errorf("same hash")
				}
				woken <- err
			}()
			select {
			case err := <-woken:
				return fmt.Errorf("did not wait (%v)", err)
			case <-time.After(100 * time.Millisecond):
			}
			if err := register("ag-hash", func(r *api.AgentServiceRegistration) { r.Port = 2 }); err != nil {
				return err
			}
			return <-woken
		}},
		{"agent.Services", func() error {
			s, err := agent.Services()
			return first(err, must("ag-web", err != nil || s["ag-web"] != nil))
		}},
		{"agent.ServicesWithFilter", func() error {
			s, err := agent.ServicesWithFilter(`Service == "ag-web"`)
			return first(err, want("services", len(s), 1))
		}},
		{"agent.ServicesWithFilter bad", func() error {
			_, err := agent.ServicesWithFilter(`Service === "ag-web"`)
			return wantError(err, "400", "Failed to create boolean expression evaluator")
		}},
		{"agent.Checks", func() error {
			c, err := agent.Checks()
			return first(err, must("ag-web-ttl", err != nil || c["ag-web-ttl"] != nil))
		}},
		{"agent.ChecksWithFilter", func() error {
			c, err := agent.ChecksWithFilter(`CheckID == "ag-web-ttl"`)
			return first(err, want("checks", len(c), 1))
		}},
		{"agent.AgentHealthServiceByID", func() error {
			status, info, err := agent.AgentHealthServiceByID("ag-web")
			return first(err, want("status", status, "passing"), must("Service", info != nil && info.Service != nil))
		}},
		{"agent.AgentHealthServiceByName", func() error {
			status, info, err := agent.AgentHealthServiceByName("ag-web")
			return first(err, want("status", status, "passing"), want("rows", len(info), 1))
		}},
		{"agent.AgentHealthServiceByID unknown", func() error {
			status, info, err := agent.AgentHealthServiceByID("no-such")
			return first(err, want("status", status, "critical"), must("info", info == nil))
		}},
		{"agent.PassTTL", func() error { return agent.PassTTL("ag-web-ttl", "well") }},
		{"agent.WarnTTL", func() error { return agent.WarnTTL("ag-web-ttl", "hm") }},
		{"agent.FailTTL", func() error {
			if err := agent.FailTTL("ag-web-ttl", "broken"); err != nil {
				return err
			}
			status, _, err := agent.AgentHealthServiceByID("ag-web")
			return first(err, want("status", status, "critical"))
		}},
		{"agent.UpdateTTL", func() error { return agent.UpdateTTL("ag-web-ttl", "well again", "pass") }},
		{"agent.UpdateTTL unknown", func() error { return wantError(agent.UpdateTTL("no-such", "", "pass"), "404", "Unknown check ID") }},
		{"agent.CheckRegister service", func() error {
			return agent.CheckRegister(&api.AgentCheckRegistration{ID: "ag-extra", Name: "extra", ServiceID: "ag-web",
				AgentServiceCheck: api.AgentServiceCheck{TTL: "10m", Status: "passing"}})
		}},
		{"agent.CheckRegister node", func() error {
			return agent.CheckRegister(&api.AgentCheckRegistration{ID: "ag-node-check", Name: "disk",
				AgentServiceCheck: api.AgentServiceCheck{TTL: "10m", Status: "passing"}})
		}},
		{"agent.CheckRegister tcp, grpc, udp", func() error {
			for i, c := range []api.AgentServiceCheck{{TCP: "127.0.0.1:1", Interval: "10s"}, {GRPC: "127.0.0.1:1", Interval: "10s"},
				{UDP: "127.0.0.1:1", Interval: "10s"}, {H2PING: "127.0.0.1:1", Interval: "10s"}, {HTTP: "http://127.0.0.1:1/", Interval: "10s", Method: "PUT", Header: map[string][]string{"Host": {"h"}}}} {
				if err := agent.CheckRegister(&api.AgentCheckRegistration{ID: fmt.Sprintf("ag-kind-%d", i), Name: "kind", ServiceID: "ag-opts", AgentServiceCheck: c}); err != nil {
					return fmt.Errorf("%d: %w", i, err)
				}
			}
			return nil
		}},
		{"agent.CheckRegister script refused", func() error {
			return wantError(agent.CheckRegister(&api.AgentCheckRegistration{ID: "ag-script", Name: "script",
				AgentServiceCheck: api.AgentServiceCheck{Args: []string{"true"}, Interval: "10s"}}), "400", "Scripts are disabled on this agent")
		}},
		{"agent.CheckDeregister", func() error { return agent.CheckDeregister("ag-extra") }},
		{"agent.CheckDeregister unknown", func() error { return wantError(agent.CheckDeregister("no-such"), "404", "Unknown check ID") }},
		{"agent.EnableServiceMaintenance", func() error { return agent.EnableServiceMaintenance("ag-web", "new disk") }},
		{"agent.DisableServiceMaintenance", func() error { return agent.DisableServiceMaintenance("ag-web") }},
		{"agent.EnableNodeMaintenance", func() error { return agent.EnableNodeMaintenance("new node") }},
		{"agent.DisableNodeMaintenance", func() error { return agent.DisableNodeMaintenance() }},
		{"agent.ServiceDeregister", func() error { return agent.ServiceDeregister("ag-opts") }},
		{"agent.ServiceDeregister unknown", func() error { return wantError(agent.ServiceDeregister("no-such"), "404", "Unknown service ID") }},
		{"agent.Monitor", func() error { return monitored(agent.Monitor) }},
		{"agent.MonitorJSON", func() error { return monitored(agent.MonitorJSON) }},
		{"agent.ConnectCARoots", func() error {
			r, _, err := agent.ConnectCARoots(nil)
			return first(err, must("no root", err != nil || len(r.Roots) > 0))
		}},
		{"agent.ConnectCALeaf", func() error {
			l, _, err := agent.ConnectCALeaf("ag-web", nil)
			return first(err, must("PrivateKeyPEM", err != nil || strings.Contains(l.PrivateKeyPEM, "PRIVATE KEY")))
		}},
		{"agent.ConnectCALeaf unregistered", func() error {
			l, _, err := agent.ConnectCALeaf("ag-nobody", nil)
			return first(err, must("ServiceURI", err != nil || strings.HasSuffix(l.ServiceURI, "/svc/ag-nobody")))
		}},
		{"agent.ConnectAuthorize", func() error {
			l, _, err := agent.ConnectCALeaf("ag-web", nil)
			if err != nil {
				return err
			}
			a, err := agent.ConnectAuthorize(&api.AgentAuthorizeParams{Target: "ag-side", ClientCertURI: l.ServiceURI, ClientCertSerial: l.SerialNumber})
			return first(err, must("Reason", err != nil || a.Reason != ""))
		}},
		{"agent.UpdateDefaultACLToken", func() error {
			_, err := agent.UpdateDefaultACLToken("x", nil)
			return wantError(err, "ACL support disabled")
		}},
		{"watch service", func() error {
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) {
				_, m, err := client.Health().Service("ag-watch", "", false, q)
				return m, err
			},
				func() error { return register("ag-watch", nil) })
		}},
	}
}

func monitored(open func(string, <-chan struct{}, *api.QueryOptions) (chan string, error)) error {
	stop := make(chan struct{})
	defer close(stop)
	lines, err := open("info", stop, nil)
	if err != nil {
		return err
	}
	if err := register("ag-monitored", func(r *api.AgentServiceRegistration) { r.Port = int(time.Now().UnixNano() % 60000) }); err != nil {
		return err
	}
	select {
	case line := <-lines:
		return must("an empty line", line != "")
	case <-time.After(5 * time.Second):
		return fmt.Errorf("no line")
	}
}
