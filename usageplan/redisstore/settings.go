package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// settings are what a server says about itself. A field that it does not tell is "".
type settings struct {
	addr               string
	role, replicas     string // master or slave; how many replicas are connected
	cluster            string // 1 if it is one of a Cluster
	alone              bool   // the client knows no other server
	policy             string // what it evicts when it is full
	aof, fsync, during string // appendonly, as 0 or 1; appendfsync; no-appendfsync-on-rewrite
	save               string
	readsave           bool // save is known; it may be "" then, which stands for no snapshots
}

// inspect asks each server that the client writes to. A Cluster is as durable as its weakest node, since each has a
// part of the rows.
func inspect(ctx context.Context, client redis.UniversalClient) (all []settings, err error) {
	var mu sync.Mutex
	ask := func(ctx context.Context, c *redis.Client) error {
		s, err := inspectOne(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, s)
		return err
	}
	switch c := client.(type) {
	case *redis.Client:
		err = ask(ctx, c)
		all[0].alone = true
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, ask)
	}
	return all, err
}

// inspectOne asks one server. Many services forbid CONFIG, and some users may not call INFO: what is forbidden stays
// unknown.
func inspectOne(ctx context.Context, c *redis.Client) (settings, error) {
	s := settings{addr: c.Options().Addr}
	info, err := c.Info(ctx).Result()
	if err != nil && !isForbidden(err) {
		return s, err
	}
	told := make(map[string]string)
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		told[name] = value
	}
	s.role, s.replicas = told["role"], told["connected_slaves"]
	s.policy, s.aof, s.cluster = told["maxmemory_policy"], told["aof_enabled"], told["cluster_enabled"]
	for name, field := range map[string]*string{
		"appendfsync": &s.fsync, "no-appendfsync-on-rewrite": &s.during, "save": &s.save,
	} {
		values, err := c.ConfigGet(ctx, name).Result()
		if err != nil && !isForbidden(err) {
			return s, err
		}
		value, known := values[name]
		*field = value
		s.readsave = s.readsave || name == "save" && known
	}
	return s, nil
}

// isForbidden reports whether a server has refused a command because of a user's rights, or because it does not have
// the command. Managed services often remove CONFIG.
func isForbidden(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "ERR unknown command")
}

// unfit reports why no ledger may use the server. allowWeak excuses what a crash may lose. It does not excuse a
// replica, which refuses writes, nor a server that deletes rows: a key whose row is deleted has its whole quota again.
func (s settings) unfit(allowWeak bool) error {
	var errs []error
	if s.role == "slave" {
		errs = append(errs, fmt.Errorf("redisstore: server %s is a replica", s.addr))
	}
	if s.alone && s.cluster == "1" {
		errs = append(errs, fmt.Errorf("redisstore: server %s has a part of a Cluster: use redis.NewClusterClient",
			s.addr))
	}
	if s.policy != "" && s.policy != "noeviction" {
		errs = append(errs, fmt.Errorf(
			"redisstore: server %s deletes rows when it is full: maxmemory-policy is %s; set noeviction",
			s.addr, s.policy))
	}
	switch {
	case allowWeak:
	case s.role == "" || s.policy == "" || s.aof == "":
		errs = append(errs, s.loses("its settings are unknown, as the user may not call INFO"))
	case s.aof == "0" && !s.readsave:
		errs = append(errs, s.loses("appendonly is no, and save cannot be read"))
	case s.aof == "0" && s.save == "":
		errs = append(errs, s.loses("it has no persistence, neither appendonly nor save"))
	}
	return errors.Join(errs...)
}

// loses is the error of a server that may lose what it has confirmed.
func (s settings) loses(why string) error { return fmt.Errorf("%w: %s: %s", ErrWeak, s.addr, why) }

// weak reports why a confirmed write may be lost.
//
// With no-appendfsync-on-rewrite, appendfsync always does not sync while the file is rewritten. Replicas get writes
// after the server has confirmed them. Nothing tells whether a replica may take over, so a server that has replicas is
// weak. min-replicas-to-write does not change that. With it, the server refuses writes after its replicas have been
// silent for seconds, but it still confirms each write before they have it.
func (s settings) weak() error {
	switch {
	case s.aof == "0":
		return s.loses("appendonly is no")
	case s.fsync == "":
		return s.loses("appendfsync cannot be read, as the user may not call CONFIG GET")
	case s.fsync != "always":
		return s.loses("appendfsync is " + s.fsync)
	case s.during != "no":
		return s.loses("no-appendfsync-on-rewrite is " + s.during)
	case s.replicas != "0":
		return s.loses("it has replicas, and a failover loses what has not reached them")
	}
	return nil
}

// Durable implements [ledger.Durable]. Each server must have appendonly yes, appendfsync always,
// no-appendfsync-on-rewrite no, and no replicas. Otherwise, or if that cannot be read, the error wraps [ErrWeak]. With
// [Config].AllowWeakDurability it returns nil and asks no server.
func (s *Store) Durable(ctx context.Context) error {
	if err := s.usable(ctx); err != nil || s.allowWeak {
		return err
	}
	servers, err := inspect(ctx, s.client)
	if err != nil {
		return fmt.Errorf("redisstore: the server does not answer: %w", err)
	}
	errs := make([]error, len(servers))
	for i, s := range servers {
		errs[i] = s.weak()
	}
	return errors.Join(errs...)
}
