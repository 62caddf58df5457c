package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

func put(key, value string) error {
	_, err := client.KV().Put(&api.KVPair{Key: key, Value: []byte(value), Flags: 42}, nil)
	return err
}

func kvCalls() []call {
	kv, session, query := client.KV(), client.Session(), client.PreparedQuery()
	return []call{
		{"kv.Put", func() error { return put("kv/put", "x") }},
		{"kv.Put too large", func() error { return wantError(put("kv/large", strings.Repeat("x", 512*1024+1)), "413") }},
		{"kv.Put bad session", func() error {
			_, _, err := kv.Acquire(&api.KVPair{Key: "kv/s", Session: "no-such"}, nil)
			return wantError(err, "500", "invalid session")
		}},
		{"kv.Get", func() error {
			if err := put("kv/get", "héllo"); err != nil {
				return err
			}
			p, meta, err := kv.Get("kv/get", nil)
			return first(err, must("absent", p != nil), want("Value", string(p.Value), "héllo"), want("Flags", p.Flags, uint64(42)), want("index", meta.LastIndex, p.ModifyIndex))
		}},
		{"kv.Get absent", func() error {
			p, meta, err := kv.Get("kv/absent", nil)
			return first(err, must("is there", p == nil), must("index", meta.LastIndex > 0))
		}},
		{"kv.Get blocks", func() error {
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) { _, m, err := kv.Get("kv/late", q); return m, err }, func() error { return put("kv/late", "1") })
		}},
		{"kv.Get sleeps through other keys", func() error {
			if err := put("kv/alone", "1"); err != nil {
				return err
			}
			_, meta, err := kv.Get("kv/alone", nil)
			if err != nil {
				return err
			}
			woken := make(chan time.Duration, 1)
			go func() {
				start := time.Now()
				kv.Get("kv/alone", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 400 * time.Millisecond})
				woken <- time.Since(start)
			}()
			time.Sleep(50 * time.Millisecond)
			if err := put("kv/other", "1"); err != nil {
				return err
			}
			waited := <-woken
			return must(fmt.Sprintf("was woken after %v", waited), waited >= 400*time.Millisecond)
		}},
		{"kv.List", func() error {
			if err := first(put("kv/list/a", "1"), put("kv/list/b", "2"), put("kv/listed", "3")); err != nil {
				return err
			}
			l, _, err := kv.List("kv/list/", nil)
			return first(err, want("pairs", len(l), 2), want("first", l[0].Key, "kv/list/a"))
		}},
		{"kv.List blocks", func() error {
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) { _, m, err := kv.List("kv/tree/", q); return m, err }, func() error { return put("kv/tree/x", "1") })
		}},
		{"kv.List wakes on a deletion", func() error {
			if err := put("kv/tomb/x", "1"); err != nil {
				return err
			}
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) { _, m, err := kv.List("kv/tomb/", q); return m, err },
				func() error { _, err := kv.Delete("kv/tomb/x", nil); return err })
		}},
		{"kv.Keys", func() error {
			if err := first(put("kv/keys/a/1", ""), put("kv/keys/a/2", ""), put("kv/keys/b", "")); err != nil {
				return err
			}
			k, _, err := kv.Keys("kv/keys/", "/", nil)
			return first(err, want("keys", k, []string{"kv/keys/a/", "kv/keys/b"}))
		}},
		{"kv.CAS", func() error {
			ok, _, err := kv.CAS(&api.KVPair{Key: "kv/cas", Value: []byte("1"), ModifyIndex: 0}, nil)
			again, _, err2 := kv.CAS(&api.KVPair{Key: "kv/cas", Value: []byte("2"), ModifyIndex: 0}, nil)
			return first(err, err2, want("first", ok, true), want("second", again, false))
		}},
		{"kv.Acquire, Release", func() error {
			id, _, err := session.CreateNoChecks(&api.SessionEntry{TTL: "30s"}, nil)
			if err != nil {
				return err
			}
			pair := &api.KVPair{Key: "kv/lock", Value: []byte("me"), Session: id}
			ok, _, err := kv.Acquire(pair, nil)
			if err := first(err, want("acquired", ok, true)); err != nil {
				return err
			}
			p, _, err := kv.Get("kv/lock", nil)
			if err := first(err, want("Session", p.Session, id), want("LockIndex", p.LockIndex, uint64(1))); err != nil {
				return err
			}
			ok, _, err = kv.Release(pair, nil)
			return first(err, want("released", ok, true))
		}},
		{"kv.Delete", func() error {
			if err := put("kv/delete", "1"); err != nil {
				return err
			}
			if _, err := kv.Delete("kv/delete", nil); err != nil {
				return err
			}
			p, _, err := kv.Get("kv/delete", nil)
			return first(err, must("still there", p == nil))
		}},
		{"kv.DeleteCAS", func() error {
			if err := put("kv/delete-cas", "1"); err != nil {
				return err
			}
			p, _, err := kv.Get("kv/delete-cas", nil)
			if err != nil {
				return err
			}
			no, _, err := kv.DeleteCAS(&api.KVPair{Key: "kv/delete-cas", ModifyIndex: 1}, nil)
			yes, _, err2 := kv.DeleteCAS(p, nil)
			return first(err, err2, want("stale", no, false), want("current", yes, true))
		}},
		{"kv.DeleteTree", func() error {
			if err := first(put("kv/deltree/a", "1"), put("kv/deltree/b", "1")); err != nil {
				return err
			}
			_, err := kv.DeleteTree("kv/deltree/", nil)
			l, _, err2 := kv.List("kv/deltree/", nil)
			return first(err, err2, want("left", len(l), 0))
		}},
		{"kv.Txn", func() error {
			ok, r, _, err := kv.Txn(api.KVTxnOps{{Verb: api.KVSet, Key: "kv/txn", Value: []byte("v")}, {Verb: api.KVGet, Key: "kv/txn"}}, nil)
			return first(err, want("ok", ok, true), want("results", len(r.Results), 2), want("value", string(r.Results[1].Value), "v"))
		}},
		{"kv.Txn rolls back", func() error {
			ok, r, _, err := kv.Txn(api.KVTxnOps{{Verb: api.KVSet, Key: "kv/txn-no", Value: []byte("v")}, {Verb: api.KVCheckIndex, Key: "kv/txn", Index: 1}}, nil)
			if err := first(err, want("ok", ok, false), want("errors", len(r.Errors), 1), want("OpIndex", r.Errors[0].OpIndex, 1)); err != nil {
				return err
			}
			p, _, err := kv.Get("kv/txn-no", nil)
			return first(err, must("was written", p == nil))
		}},
		{"kv.Txn every verb", func() error {
			ok, r, _, err := kv.Txn(api.KVTxnOps{{Verb: api.KVSet, Key: "kv/tv/a", Value: []byte("v")}, {Verb: api.KVCheckNotExists, Key: "kv/tv/none"},
				{Verb: api.KVGetTree, Key: "kv/tv/"}, {Verb: "get-or-empty", Key: "kv/tv/none"}, {Verb: api.KVCAS, Key: "kv/tv/b", Value: []byte("w")}, {Verb: api.KVDelete, Key: "kv/tv/a"}, {Verb: api.KVDeleteTree, Key: "kv/tv/"}}, nil)
			return first(err, must(fmt.Sprintf("not ok: %v", r), ok))
		}},
		{"txn.Txn node and service", func() error {
			ok, r, _, err := client.Txn().Txn(api.TxnOps{
				{Node: &api.NodeTxnOp{Verb: api.NodeSet, Node: api.Node{Node: "txn-node", Address: "192.0.2.20"}}},
				{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: "txn-node", Service: api.AgentService{ID: "txn-svc", Service: "txn-svc", Port: 1}}},
				{Check: &api.CheckTxnOp{Verb: api.CheckSet, Check: api.HealthCheck{Node: "txn-node", CheckID: "txn-check", Name: "c", Status: "passing"}}},
				{Service: &api.ServiceTxnOp{Verb: api.ServiceGet, Node: "txn-node", Service: api.AgentService{ID: "txn-svc"}}},
			}, nil)
			return first(err, must(fmt.Sprintf("not ok: %v", r), ok), want("results", len(r.Results), 4))
		}},
		{"session.Create", func() error {
			id, _, err := session.Create(&api.SessionEntry{Name: "mine", TTL: "30s", Behavior: "delete", LockDelay: 3 * time.Second}, nil)
			if err != nil {
				return err
			}
			s, _, err := session.Info(id, nil)
			return first(err, want("Name", s.Name, "mine"), want("TTL", s.TTL, "30s"), want("Behavior", s.Behavior, "delete"), want("LockDelay", s.LockDelay, 3*time.Second), want("NodeChecks", s.NodeChecks, []string{"serfHealth"}))
		}},
		{"session.Create bad TTL", func() error {
			_, _, err := session.Create(&api.SessionEntry{TTL: "1s"}, nil)
			return wantError(err, "Invalid Session TTL")
		}},
		{"session.CreateNoChecks", func() error {
			id, _, err := session.CreateNoChecks(nil, nil)
			return first(err, must("no id", id != ""))
		}},
		{"session.Renew", func() error {
			id, _, err := session.CreateNoChecks(&api.SessionEntry{TTL: "30s"}, nil)
			if err != nil {
				return err
			}
			s, _, err := session.Renew(id, nil)
			return first(err, must("nothing", s != nil), want("ID", s.ID, id))
		}},
		{"session.Renew unknown", func() error {
			s, _, err := session.Renew("11111111-2222-3333-4444-555555555555", nil)
			return first(err, must("is there", s == nil))
		}},
		{"session.Info unknown", func() error {
			s, _, err := session.Info("11111111-2222-3333-4444-555555555555", nil)
			return first(err, must("is there", s == nil))
		}},
		{"session.List", func() error { l, _, err := session.List(nil); return first(err, must("empty", len(l) > 0)) }},
		{"session.List blocks", func() error {
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) { _, m, err := session.List(q); return m, err },
				func() error { _, _, err := session.CreateNoChecks(nil, nil); return err })
		}},
		{"session.Node", func() error {
			n, err := client.Agent().NodeName()
			if err != nil {
				return err
			}
			l, _, err := session.Node(n, nil)
			return first(err, must("empty", len(l) > 0))
		}},
		{"session.Destroy releases", func() error {
			id, _, err := session.CreateNoChecks(nil, nil)
			if err != nil {
				return err
			}
			kv.Acquire(&api.KVPair{Key: "kv/destroyed", Session: id}, nil)
			if _, err := session.Destroy(id, nil); err != nil {
				return err
			}
			p, _, err := kv.Get("kv/destroyed", nil)
			return first(err, want("Session", p.Session, ""))
		}},
		{"session lock delay", func() error {
			id, _, err := session.CreateNoChecks(&api.SessionEntry{LockDelay: 5 * time.Second}, nil)
			if err != nil {
				return err
			}
			kv.Acquire(&api.KVPair{Key: "kv/delayed", Session: id}, nil)
			session.Destroy(id, nil)
			other, _, err := session.CreateNoChecks(nil, nil)
			if err != nil {
				return err
			}
			ok, _, err := kv.Acquire(&api.KVPair{Key: "kv/delayed", Session: other}, nil)
			return first(err, want("acquired within the delay", ok, false))
		}},
		{"lock.Lock", func() error {
			l, err := client.LockKey("kv/lock-api")
			if err != nil {
				return err
			}
			lost, err := l.Lock(nil)
			if err := first(err, must("not held", lost != nil)); err != nil {
				return err
			}
			return first(l.Unlock(), l.Destroy())
		}},
		{"semaphore.Acquire", func() error {
			s, err := client.SemaphorePrefix("kv/semaphore", 2)
			if err != nil {
				return err
			}
			lost, err := s.Acquire(nil)
			if err := first(err, must("not held", lost != nil)); err != nil {
				return err
			}
			return first(s.Release(), s.Destroy())
		}},
		{"event.Fire", func() error {
			id, _, err := client.Event().Fire(&api.UserEvent{Name: "deploy", Payload: []byte("v2")}, nil)
			return first(err, must("no id", id != ""))
		}},
		{"event.List", func() error {
			l, _, err := client.Event().List("deploy", nil)
			return first(err, must("empty", len(l) > 0), want("Payload", string(l[0].Payload), "v2"))
		}},
		{"event.List blocks", func() error {
			_, meta, err := client.Event().List("", nil)
			if err != nil {
				return err
			}
			woken := make(chan error, 1)
			go func() {
				_, next, err := client.Event().List("", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 10 * time.Second})
				woken <- first(err, must("same index", err != nil || next.LastIndex != meta.LastIndex))
			}()
			time.Sleep(50 * time.Millisecond)
			client.Event().Fire(&api.UserEvent{Name: "again"}, nil)
			return <-woken
		}},
		{"query.Create", func() error {
			id, _, err := query.Create(&api.PreparedQueryDefinition{Name: "q-web", Service: api.ServiceQuery{Service: "ag-web", OnlyPassing: true, Tags: []string{"v1", "!green"}}, DNS: api.QueryDNSOptions{TTL: "10s"}}, nil)
			return first(err, must("no id", id != ""))
		}},
		{"query.Create twice", func() error {
			_, _, err := query.Create(&api.PreparedQueryDefinition{Name: "q-web", Service: api.ServiceQuery{Service: "ag-web"}}, nil)
			return wantError(err, "500", "aliases an existing query name")
		}},
		{"query.Execute", func() error {
			r, _, err := query.Execute("q-web", nil)
			return first(err, want("Service", r.Service, "ag-web"), want("nodes", len(r.Nodes), 1), want("TTL", r.DNS.TTL, "10s"), want("Failovers", r.Failovers, 0))
		}},
		{"query.Execute unknown", func() error { _, _, err := query.Execute("q-none", nil); return wantError(err, "404") }},
		{"query.Execute template", func() error {
			_, _, err := query.Create(&api.PreparedQueryDefinition{Name: "tpl-", Template: api.QueryTemplate{Type: "name_prefix_match", Regexp: "^tpl-(.+)$"}, Service: api.ServiceQuery{Service: "${match(1)}"}}, nil)
			if err != nil {
				return err
			}
			r, _, err := query.Execute("tpl-ag-web", nil)
			return first(err, want("Service", r.Service, "ag-web"))
		}},
		{"query.Explain", func() error {
			var out struct{ Query api.PreparedQueryDefinition }
			_, err := client.Raw().Query("/v1/query/tpl-ag-web/explain", &out, nil)
			return first(err, want("Service", out.Query.Service.Service, "ag-web"))
		}},
		{"query.List", func() error { l, _, err := query.List(nil); return first(err, must("empty", len(l) >= 2)) }},
		{"query.Get, Update, Delete", func() error {
			id, _, err := query.Create(&api.PreparedQueryDefinition{Name: "q-temp", Service: api.ServiceQuery{Service: "ag-web"}}, nil)
			if err != nil {
				return err
			}
			if _, err := query.Update(&api.PreparedQueryDefinition{ID: id, Name: "q-temp2", Service: api.ServiceQuery{Service: "ag-side"}}, nil); err != nil {
				return err
			}
			l, _, err := query.Get(id, nil)
			if err := first(err, want("Name", l[0].Name, "q-temp2")); err != nil {
				return err
			}
			if _, err := query.Delete(id, nil); err != nil {
				return err
			}
			_, _, err = query.Get(id, nil)
			return wantError(err, "404", "Query not found")
		}},
		{"snapshot.Save, Restore", func() error {
			if err := put("kv/snapshot", "before"); err != nil {
				return err
			}
			body, _, err := client.Snapshot().Save(nil)
			if err != nil {
				return err
			}
			data, err := io.ReadAll(body)
			body.Close()
			if err != nil {
				return err
			}
			if err := put("kv/snapshot", "after"); err != nil {
				return err
			}
			if err := client.Snapshot().Restore(nil, bytes.NewReader(data)); err != nil {
				return err
			}
			p, _, err := kv.Get("kv/snapshot", nil)
			return first(err, want("Value", string(p.Value), "before"))
		}},
		{"snapshot.Restore damaged", func() error {
			body, _, err := client.Snapshot().Save(nil)
			if err != nil {
				return err
			}
			data, _ := io.ReadAll(body)
			body.Close()
			data[len(data)/2] ^= 0xff
			return wantError(client.Snapshot().Restore(nil, bytes.NewReader(data)))
		}},
		{"status.Leader", func() error {
			l, err := client.Status().Leader()
			return first(err, must("empty", strings.Contains(l, ":")))
		}},
		{"status.Peers", func() error { p, err := client.Status().Peers(); return first(err, want("peers", len(p), 1)) }},
	}
}
