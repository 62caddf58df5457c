// A control plane made of go-control-plane's own caches and server, as an adopter would write it, driven over HTTP by the tests of
// test/integration/go-control-plane.test.ts and kept free of anything that our own server does. It serves all xDS services of
// go-control-plane (aggregated and one type each, state of the world and delta) and logs every request and response it saw.
//
//	POST /snapshot?version=V        body: JSON array of resources ({"@type": ...} or {"ttl": "5s", "resource": {...}}): SetSnapshot
//	POST /churn?count=N&from=M      body as above with {{n}} in it: N snapshots, one after the other
//	POST /linear?delete=name        body as above: updates (or deletes) single resources of the per-type linear caches (-cache mux)
//	POST /clear                     ClearSnapshot
//	POST /disconnect                ends every stream that is open, keeps the server
//	GET  /log?since=N               what was seen from entry N on, as a JSON array
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	extensionservice "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	runtimeservice "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
)

var linearTypes = []string{
	resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType,
	resource.SecretType, resource.RuntimeType, resource.ExtensionConfigType, resource.VirtualHostType, resource.ScopedRouteType,
}

// oneNode files every client under the same snapshot.
type oneNode struct{}

func (oneNode) ID(*core.Node) string { return "all" }

// entry is one line of the log, in the words of the discovery messages.
type entry struct {
	Seq         int               `json:"seq"`
	Kind        string            `json:"kind"` // open, close, request, response
	Stream      int64             `json:"stream"`
	Delta       bool              `json:"delta"`
	Type        string            `json:"type"`
	Version     string            `json:"version,omitempty"`
	Nonce       string            `json:"nonce,omitempty"`
	Names       []string          `json:"names,omitempty"`
	Subscribe   []string          `json:"subscribe,omitempty"`
	Unsubscribe []string          `json:"unsubscribe,omitempty"`
	Initial     map[string]string `json:"initial,omitempty"`
	Removed     []string          `json:"removed,omitempty"`
	Count       int               `json:"count,omitempty"`
	Node        string            `json:"node,omitempty"`
	UserAgent   string            `json:"userAgent,omitempty"`
	Error       string            `json:"error,omitempty"`
	Code        int32             `json:"code,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Peer        string            `json:"peer,omitempty"`
}

// recorder implements server.Callbacks. Bounded by maxEntries: a test that needs more reads in between.
type recorder struct {
	mu      sync.Mutex
	entries []entry
}

const maxEntries = 100_000

func (r *recorder) add(e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Seq = len(r.entries)
	if len(r.entries) < maxEntries {
		r.entries = append(r.entries, e)
	}
}

func (r *recorder) opened(ctx context.Context, delta bool, id int64, typeURL string) error {
	e := entry{Kind: "open", Stream: id, Delta: delta, Type: typeURL, Metadata: map[string]string{}}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		for key, values := range md {
			e.Metadata[key] = strings.Join(values, ",")
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			e.Peer = info.State.PeerCertificates[0].Subject.String()
			for _, uri := range info.State.PeerCertificates[0].URIs {
				e.Peer = uri.String()
			}
		}
	}
	r.add(e)
	return nil
}

func (r *recorder) OnStreamOpen(ctx context.Context, id int64, typeURL string) error {
	return r.opened(ctx, false, id, typeURL)
}
func (r *recorder) OnDeltaStreamOpen(ctx context.Context, id int64, typeURL string) error {
	return r.opened(ctx, true, id, typeURL)
}
func (r *recorder) OnStreamClosed(id int64, _ *core.Node) {
	r.add(entry{Kind: "close", Stream: id})
}
func (r *recorder) OnDeltaStreamClosed(id int64, _ *core.Node) {
	r.add(entry{Kind: "close", Stream: id, Delta: true})
}

func (r *recorder) OnStreamRequest(id int64, q *discovery.DiscoveryRequest) error {
	r.add(entry{
		Kind: "request", Stream: id, Type: q.TypeUrl, Version: q.VersionInfo, Nonce: q.ResponseNonce, Names: sorted(q.ResourceNames),
		Node: q.GetNode().GetId(), UserAgent: q.GetNode().GetUserAgentName(),
		Error: q.GetErrorDetail().GetMessage(), Code: q.GetErrorDetail().GetCode(),
	})
	return nil
}

func (r *recorder) OnStreamDeltaRequest(id int64, q *discovery.DeltaDiscoveryRequest) error {
	r.add(entry{
		Kind: "request", Stream: id, Delta: true, Type: q.TypeUrl, Nonce: q.ResponseNonce, Subscribe: sorted(q.ResourceNamesSubscribe),
		Unsubscribe: sorted(q.ResourceNamesUnsubscribe), Initial: q.InitialResourceVersions, Node: q.GetNode().GetId(),
		UserAgent: q.GetNode().GetUserAgentName(), Error: q.GetErrorDetail().GetMessage(), Code: q.GetErrorDetail().GetCode(),
	})
	return nil
}

func (r *recorder) OnStreamResponse(_ context.Context, id int64, _ *discovery.DiscoveryRequest, p *discovery.DiscoveryResponse) {
	r.add(entry{Kind: "response", Stream: id, Type: p.TypeUrl, Version: p.VersionInfo, Nonce: p.Nonce, Count: len(p.Resources)})
}

func (r *recorder) OnStreamDeltaResponse(id int64, _ *discovery.DeltaDiscoveryRequest, p *discovery.DeltaDiscoveryResponse) {
	e := entry{
		Kind: "response", Stream: id, Delta: true, Type: p.TypeUrl, Version: p.SystemVersionInfo, Nonce: p.Nonce, Count: len(p.Resources),
		Removed: sorted(p.RemovedResources),
	}
	if len(p.Resources) <= 50 {
		for _, one := range p.Resources {
			e.Names = append(e.Names, one.Name)
		}
		sort.Strings(e.Names)
	}
	r.add(e)
}

func (r *recorder) OnFetchRequest(context.Context, *discovery.DiscoveryRequest) error         { return nil }
func (r *recorder) OnFetchResponse(*discovery.DiscoveryRequest, *discovery.DiscoveryResponse) {}

func sorted(names []string) []string {
	out := append([]string(nil), names...)
	sort.Strings(out)
	return out
}

// disconnects lets POST /disconnect end the streams that are open, as a server that rebalances its clients does.
type disconnects struct {
	mu sync.Mutex
	ch chan struct{}
}

func (d *disconnects) current() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ch
}

func (d *disconnects) fire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.ch)
	d.ch = make(chan struct{})
}

func (d *disconnects) intercept(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ended := d.current()
	done := make(chan error, 1)
	go func() { done <- handler(srv, ss) }()
	select {
	case err := <-done:
		return err
	case <-ended:
		return status.Error(codes.Unavailable, "the server sheds its clients")
	}
}

// parse reads resources from JSON, by type.
func parse(body []byte) (map[resource.Type][]types.ResourceWithTTL, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, err
	}
	out := map[resource.Type][]types.ResourceWithTTL{}
	for i, item := range items {
		var wrapped struct {
			TTL      string          `json:"ttl"`
			Resource json.RawMessage `json:"resource"`
		}
		var ttl *time.Duration
		if json.Unmarshal(item, &wrapped) == nil && wrapped.Resource != nil {
			item = wrapped.Resource
			parsed, err := time.ParseDuration(wrapped.TTL)
			if err != nil {
				return nil, fmt.Errorf("[%d].ttl: %w", i, err)
			}
			ttl = &parsed
		}
		var packed anypb.Any
		if err := protojson.Unmarshal(item, &packed); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		message, err := packed.UnmarshalNew()
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		out[packed.TypeUrl] = append(out[packed.TypeUrl], types.ResourceWithTTL{Resource: message.(types.Resource), TTL: ttl})
	}
	return out, nil
}

func main() {
	control := flag.String("control", "127.0.0.1:0", "address of the HTTP interface of the tests")
	xds := flag.String("xds", "127.0.0.1:0", "address of the xDS server")
	kind := flag.String("cache", "snapshot", "snapshot (ads flag set), snapshot-open (ads flag not set), mux (linear caches, one a type)")
	heartbeat := flag.Duration("heartbeat", 0, "interval of TTL heartbeats; 0 sends none")
	cert := flag.String("cert", "", "server certificate chain, PEM; TLS with client certificates if set")
	key := flag.String("key", "", "its private key")
	clientCA := flag.String("client-ca", "", "CA of the client certificates")
	flag.Parse()
	ctx := context.Background()
	rec := &recorder{}
	cuts := &disconnects{ch: make(chan struct{})}

	var snapshots cache.SnapshotCache
	linear := map[string]*cache.LinearCache{}
	var source cache.Cache
	switch {
	case *kind == "mux":
		mux := &cache.MuxCache{
			Classify:      func(q *cache.Request) string { return q.TypeUrl },
			ClassifyDelta: func(q *cache.DeltaRequest) string { return q.TypeUrl },
			Caches:        map[string]cache.Cache{},
		}
		for _, typeURL := range linearTypes {
			linear[typeURL] = cache.NewLinearCache(typeURL)
			mux.Caches[typeURL] = linear[typeURL]
		}
		source = mux
	case *heartbeat > 0:
		snapshots = cache.NewSnapshotCacheWithHeartbeating(ctx, *kind == "snapshot", oneNode{}, nil, *heartbeat)
		source = snapshots
	default:
		snapshots = cache.NewSnapshotCache(*kind == "snapshot", oneNode{}, nil)
		source = snapshots
	}

	options := []grpc.ServerOption{grpc.StreamInterceptor(cuts.intercept), grpc.MaxConcurrentStreams(1000)}
	if *cert != "" {
		options = append(options, grpc.Creds(credentials.NewTLS(tlsConfig(*cert, *key, *clientCA))))
	}
	grpcServer := grpc.NewServer(options...)
	srv := server.NewServer(ctx, source, rec)
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, srv)
	endpointservice.RegisterEndpointDiscoveryServiceServer(grpcServer, srv)
	clusterservice.RegisterClusterDiscoveryServiceServer(grpcServer, srv)
	routeservice.RegisterRouteDiscoveryServiceServer(grpcServer, srv)
	routeservice.RegisterScopedRoutesDiscoveryServiceServer(grpcServer, srv)
	routeservice.RegisterVirtualHostDiscoveryServiceServer(grpcServer, srv)
	listenerservice.RegisterListenerDiscoveryServiceServer(grpcServer, srv)
	secretservice.RegisterSecretDiscoveryServiceServer(grpcServer, srv)
	runtimeservice.RegisterRuntimeDiscoveryServiceServer(grpcServer, srv)
	extensionservice.RegisterExtensionConfigDiscoveryServiceServer(grpcServer, srv)
	listener, err := net.Listen("tcp", *xds)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(grpcServer.Serve(listener)) }()

	set := func(version string, body []byte) error {
		resources, err := parse(body)
		if err != nil {
			return err
		}
		snapshot, err := cache.NewSnapshotWithTTLs(version, resources)
		if err != nil {
			return err
		}
		return snapshots.SetSnapshot(ctx, "all", snapshot)
	}
	handle := func(path string, fn func(query func(string) string, body []byte) error) {
		http.HandleFunc(path, func(w http.ResponseWriter, q *http.Request) {
			body, err := io.ReadAll(q.Body)
			if err == nil {
				err = fn(q.URL.Query().Get, body)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
	}
	handle("/snapshot", func(query func(string) string, body []byte) error { return set(query("version"), body) })
	handle("/churn", func(query func(string) string, body []byte) error {
		count, _ := strconv.Atoi(query("count"))
		from, _ := strconv.Atoi(query("from"))
		for n := from; n < from+count; n++ {
			text := strings.ReplaceAll(string(body), "{{n}}", strconv.Itoa(n))
			if err := set(fmt.Sprintf("churn-%d", n), []byte(text)); err != nil {
				return err
			}
		}
		return nil
	})
	handle("/linear", func(query func(string) string, body []byte) error {
		if name := query("delete"); name != "" {
			return linear[query("type")].DeleteResource(name)
		}
		resources, err := parse(body)
		if err != nil {
			return err
		}
		for typeURL, list := range resources {
			changed := map[string]types.Resource{}
			for _, one := range list {
				changed[cache.GetResourceName(one.Resource)] = proto.Clone(one.Resource).(types.Resource)
			}
			if err := linear[typeURL].UpdateResources(changed, nil); err != nil {
				return err
			}
		}
		return nil
	})
	handle("/clear", func(func(string) string, []byte) error { snapshots.ClearSnapshot("all"); return nil })
	handle("/disconnect", func(func(string) string, []byte) error { cuts.fire(); return nil })
	http.HandleFunc("/log", func(w http.ResponseWriter, q *http.Request) {
		since, _ := strconv.Atoi(q.URL.Query().Get("since"))
		rec.mu.Lock()
		tail := []entry{}
		if since < len(rec.entries) {
			tail = append(tail, rec.entries[since:]...)
		}
		rec.mu.Unlock()
		_ = json.NewEncoder(w).Encode(tail)
	})
	web, err := net.Listen("tcp", *control)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("xds %s control %s\n", listener.Addr(), web.Addr())
	// The test's end of stdin is what ends this process, should the test die.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(web, nil))
}

func tlsConfig(cert, key, clientCA string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
	if clientCA != "" {
		pem, err := os.ReadFile(clientCA)
		if err != nil {
			log.Fatal(err)
		}
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(pem)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}
