// The Go client of Consul (github.com/hashicorp/consul/api) as a judge: makes its calls one by one against the agent at CONSUL_HTTP_ADDR
// and prints one line of JSON for each, {"name": "kv.Get", "error": ""}. Built and run by test/support/consul-api-go.ts.
// Each call stands alone: what it needs, it makes, under names of its own, and nothing that another call counts on is taken away.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

var client *api.Client

type call struct {
	name string
	run  func() error
}

func main() {
	config := api.DefaultConfig()
	var err error
	if client, err = api.NewClient(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	only := ""
	if len(os.Args) > 1 {
		only = os.Args[1]
	}
	calls := [][]call{agentCalls(), catalogCalls(), kvCalls(), lockCalls(), watchCalls(), connectCalls(), operatorCalls(), aclCalls()}
	out := json.NewEncoder(os.Stdout)
	for _, group := range calls {
		for _, c := range group {
			if only != "" && !strings.HasPrefix(c.name, only) {
				continue
			}
			text := ""
			if err := within(c.run); err != nil {
				text = err.Error()
			}
			out.Encode(map[string]string{"name": c.name, "error": text})
		}
	}
}

// A call that never comes back is a failed one.
func within(run func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("panic: %v", r)
			}
		}()
		done <- run()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("no answer within 20 s")
	}
}

func want(what string, got, expected any) error {
	if !reflect.DeepEqual(got, expected) {
		return fmt.Errorf("%s is %#v, not %#v", what, got, expected)
	}
	return nil
}

func must(what string, ok bool) error {
	if !ok {
		return errors.New(what)
	}
	return nil
}

// wantError: the agent must refuse, with these words.
func wantError(err error, words ...string) error {
	if err == nil {
		return fmt.Errorf("was taken; expected %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			return fmt.Errorf("refused with %q; expected %q", err.Error(), w)
		}
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// blocks: a read at its own index waits, and wakes when change is made.
func blocks(read func(q *api.QueryOptions) (*api.QueryMeta, error), change func() error) error {
	meta, err := read(&api.QueryOptions{})
	if err != nil {
		return err
	}
	if meta.LastIndex == 0 {
		return errors.New("has no X-Consul-Index")
	}
	woken := make(chan error, 1)
	go func() {
		next, err := read(&api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 15 * time.Second})
		if err == nil && next.LastIndex <= meta.LastIndex {
			err = fmt.Errorf("index %d after %d", next.LastIndex, meta.LastIndex)
		}
		woken <- err
	}()
	select {
	case err := <-woken:
		return fmt.Errorf("did not wait (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := change(); err != nil {
		return err
	}
	select {
	case err := <-woken:
		return err
	case <-time.After(5 * time.Second):
		return errors.New("did not wake")
	}
}
