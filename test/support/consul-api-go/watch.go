package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

// watched: a plan (`consul watch`) tells the state, then nothing until change is made (nil: what comes then is not waited for), then the new
// state. `byHash`: of the agent, which has no index.
func watched(params map[string]any, byHash bool, change func() error) error {
	plan, err := watch.Parse(params)
	if err != nil {
		return err
	}
	calls := make(chan struct{}, 100)
	if byHash {
		plan.HybridHandler = func(watch.BlockingParamVal, any) { calls <- struct{}{} }
	} else {
		plan.Handler = func(uint64, any) { calls <- struct{}{} }
	}
	ended := make(chan error, 1)
	go func() { ended <- plan.RunWithClientAndHclog(client, nil) }()
	defer plan.Stop()
	select {
	case <-calls:
	case err := <-ended:
		return fmt.Errorf("ended: %v", err)
	case <-time.After(5 * time.Second):
		return errors.New("was not told the state")
	}
	select {
	case <-calls:
		return errors.New("was told again without a change")
	case <-time.After(100 * time.Millisecond):
	}
	if change == nil {
		return nil
	}
	if err := change(); err != nil {
		return err
	}
	select {
	case <-calls:
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("was not told the change")
	}
}

// otherRoot: a key of another length is another root.
func otherRoot() error {
	config, _, err := client.Connect().CAGetConfig(nil)
	if err != nil {
		return err
	}
	bits, _ := config.Config["PrivateKeyBits"].(float64)
	config.Config["PrivateKeyBits"] = map[bool]int{true: 384, false: 256}[bits == 256]
	_, err = client.Connect().CASetConfig(config, nil)
	return err
}

func watchCalls() []call {
	agent := client.Agent()
	watchable := func(port int) error {
		return agent.ServiceRegister(&api.AgentServiceRegistration{ID: "w-1", Name: "w", Port: port, Check: &api.AgentServiceCheck{CheckID: "w-ttl", TTL: "1m", Status: "passing"}})
	}
	// The service is there, and its check is as it is not after the change.
	checked := func(params map[string]any, change func() error) func() error {
		return func() error {
			// A check that is registered again keeps its status.
			return first(watchable(1), agent.PassTTL("w-ttl", "up"), watched(params, false, change))
		}
	}
	fail := func() error { return agent.FailTTL("w-ttl", "down") }
	return []call{
		{"watch key", func() error {
			return first(put("w/key", "1"), watched(map[string]any{"type": "key", "key": "w/key"}, false, func() error { return put("w/key", "2") }))
		}},
		{"watch keyprefix", func() error {
			return first(put("w/tree/a", "1"), watched(map[string]any{"type": "keyprefix", "prefix": "w/tree/"}, false, func() error { return put("w/tree/b", "1") }))
		}},
		{"watch services", func() error {
			return watched(map[string]any{"type": "services"}, false, func() error { return agent.ServiceRegister(&api.AgentServiceRegistration{Name: "w-new"}) })
		}},
		{"watch nodes", func() error {
			return watched(map[string]any{"type": "nodes"}, false, func() error {
				_, err := client.Catalog().Register(&api.CatalogRegistration{Node: "w-node", Address: "192.0.2.77"}, nil)
				return err
			})
		}},
		{"watch service", checked(map[string]any{"type": "service", "service": "w"}, fail)},
		{"watch service, passing only", checked(map[string]any{"type": "service", "service": "w", "passingonly": true}, fail)},
		{"watch checks of a service", checked(map[string]any{"type": "checks", "service": "w"}, fail)},
		{"watch checks of a state", checked(map[string]any{"type": "checks", "state": "critical"}, fail)},
		{"watch event", func() error {
			fire := func() error { _, _, err := client.Event().Fire(&api.UserEvent{Name: "w-event"}, nil); return err }
			return first(fire(), watched(map[string]any{"type": "event", "name": "w-event"}, false, fire))
		}},
		{"watch agent_service", func() error {
			return first(watchable(1), watched(map[string]any{"type": "agent_service", "service_id": "w-1"}, true, func() error { return watchable(2) }))
		}},
		{"watch connect_roots", func() error { return watched(map[string]any{"type": "connect_roots"}, false, otherRoot) }},
		// After a new root leaves are made anew within half a minute, as by Consul's agents.
		{"watch connect_leaf", func() error { return watched(map[string]any{"type": "connect_leaf", "service": "w"}, false, nil) }},
	}
}

// contended: `count` take and give back what at most `limit` may hold at a time.
func contended(count int, limit int32, take func() (lost <-chan struct{}, giveBack func() error, err error)) error {
	var holders, most atomic.Int32
	results := make(chan error, count)
	var all sync.WaitGroup
	for range count {
		all.Add(1)
		go func() {
			defer all.Done()
			lost, giveBack, err := take()
			if err == nil && lost == nil {
				err = errors.New("not held")
			}
			if err != nil {
				results <- err
				return
			}
			now := holders.Add(1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			holders.Add(-1)
			results <- giveBack()
		}()
	}
	all.Wait()
	close(results)
	for err := range results {
		if err != nil {
			return err
		}
	}
	return must(fmt.Sprintf("%d held it at once", most.Load()), most.Load() >= 1 && most.Load() <= limit)
}

func told(lost <-chan struct{}) error {
	select {
	case <-lost:
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("the holder was not told that it is lost")
	}
}

func lockCalls() []call {
	return []call{
		{"lock of ten", func() error {
			return contended(10, 1, func() (<-chan struct{}, func() error, error) {
				l, err := client.LockOpts(&api.LockOptions{Key: "locks/ten", SessionTTL: "10s", MonitorRetries: 3})
				if err != nil {
					return nil, nil, err
				}
				lost, err := l.Lock(nil)
				return lost, l.Unlock, err
			})
		}},
		{"lock that is lost", func() error {
			l, err := client.LockOpts(&api.LockOptions{Key: "locks/lost", LockDelay: time.Millisecond})
			if err != nil {
				return err
			}
			lost, err := l.Lock(nil)
			if err != nil {
				return err
			}
			p, _, err := client.KV().Get("locks/lost", nil)
			if err != nil {
				return err
			}
			if _, err := client.Session().Destroy(p.Session, nil); err != nil {
				return err
			}
			return told(lost)
		}},
		{"lock tried once", func() error {
			held, err := client.LockKey("locks/once")
			if err != nil {
				return err
			}
			if _, err := held.Lock(nil); err != nil {
				return err
			}
			other, err := client.LockOpts(&api.LockOptions{Key: "locks/once", LockTryOnce: true, LockWaitTime: 200 * time.Millisecond})
			if err != nil {
				return err
			}
			began := time.Now()
			lost, err := other.Lock(nil)
			waited := time.Since(began)
			return first(err, must("was given away", lost == nil), must(fmt.Sprintf("waited %v", waited), waited > 150*time.Millisecond && waited < 5*time.Second),
				want("Destroy in use", other.Destroy(), api.ErrLockInUse), held.Unlock(), held.Destroy())
		}},
		{"semaphore of three for eight", func() error {
			return contended(8, 3, func() (<-chan struct{}, func() error, error) {
				s, err := client.SemaphoreOpts(&api.SemaphoreOptions{Prefix: "semaphores/three", Limit: 3, SessionTTL: "10s"})
				if err != nil {
					return nil, nil, err
				}
				lost, err := s.Acquire(nil)
				return lost, s.Release, err
			})
		}},
		{"semaphore whose holder is gone", func() error {
			options := func() *api.SemaphoreOptions {
				return &api.SemaphoreOptions{Prefix: "semaphores/gone", Limit: 1, SemaphoreTryOnce: true, SemaphoreWaitTime: 5 * time.Second}
			}
			s, err := client.SemaphoreOpts(options())
			if err != nil {
				return err
			}
			lost, err := s.Acquire(nil)
			if err != nil {
				return err
			}
			pairs, _, err := client.KV().List("semaphores/gone/", nil)
			for _, p := range pairs {
				if p.Session != "" {
					client.Session().Destroy(p.Session, nil)
				}
			}
			if err := first(err, told(lost)); err != nil {
				return err
			}
			next, err := client.SemaphoreOpts(options())
			if err != nil {
				return err
			}
			has, err := next.Acquire(nil)
			return first(err, must("its slot is not given on", has != nil), next.Release())
		}},
		{"session.RenewPeriodic", func() error {
			id, _, err := client.Session().CreateNoChecks(&api.SessionEntry{TTL: "10s"}, nil)
			if err != nil {
				return err
			}
			stop := make(chan struct{})
			close(stop)
			if err := client.Session().RenewPeriodic("10s", id, nil, stop); err != nil {
				return err
			}
			s, _, err := client.Session().Info(id, nil)
			return first(err, must("is still there", s == nil))
		}},
	}
}
