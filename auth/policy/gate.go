package policy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// Gate lets a request pass if IAM policies allow its method. It stands behind an authenticator and takes from it who
// calls. Its zero value and nil refuse every request with [ErrNotConfigured]. It is safe for concurrent use.
type Gate struct {
	cfg  GateConfig
	api  api
	made bool // by NewGate; the zero value has no policies to ask
}

// peer finds the address of the peer, the client of the connection. It is what Source is without a configuration.
var peer, _ = clientip.New(clientip.Config{}) // the zero Config is valid

// NewGate returns a gate. The error is every mistake in cfg, joined.
func NewGate(cfg GateConfig) (*Gate, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Source == nil {
		cfg.Source = peer
	}
	return &Gate{cfg, api{cfg.StageARN, cfg.Mount}, true}, nil
}

// Check returns nil if r may pass: the policies allow its method, or [GateConfig].AllowDespite lets it pass. Otherwise
// the error is an [*Error]. Check tells [GateConfig].Observe, and does not read the body.
func (g *Gate) Check(r *http.Request) error {
	if e := g.check(nil, r); e != nil {
		return e
	}
	return nil
}

// Explain says how the policies decide about r, for support people and tests. Nobody is told of it, and AllowDespite is
// not asked. The error is an [*Error] if r is refused whatever the policies say, as for its path. A HEAD that is
// allowed is explained as the GET that must be allowed too.
//
// r is the request as it comes to the gate, with the proof of the authenticator: the one that [GateConfig].ErrorHandler
// gets, or in a test what Authenticate of a verifier returns. Of a request that nobody has authenticated, the error is
// [ErrNoPrincipal].
func (g *Gate) Explain(r *http.Request) (Explanation, error) {
	if g == nil || !g.made {
		return Explanation{}, &Error{Err: ErrNotConfigured}
	}
	var about Request
	err := g.learn(r, &about)
	if err == nil {
		var s Set
		if s, err = g.policies(r); err == nil {
			return g.explain(&s, &about), nil
		}
	}
	return Explanation{}, &Error{Err: err, Principal: about.Principal, Resource: about.Resource}
}

// explain is decide with an explanation for an answer. Like decide, it asks about the GET of a HEAD only if the HEAD is
// allowed. So a HEAD is refused for the reason that is explained.
func (g *Gate) explain(s *Set, about *Request) Explanation {
	about = about.timed() // one time for the decision and for all steps
	decision := Gateway(g.cfg.Authorization, s, about)
	if get, head := g.api.asGET(about.Resource); head && decision == Allow {
		about.Resource = get
		decision = Gateway(g.cfg.Authorization, s, about)
	}
	return s.explain(g.cfg.Authorization, decision, about)
}

// Handler returns a handler that calls next for each request that may pass, and answers the others.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := g.check(w, r)
		if e == nil {
			next.ServeHTTP(w, r)
			return
		}
		// Before ErrorHandler, so that an answer of the application has the id and Retry-After as well.
		e.SetHeader(w.Header())
		if g != nil && g.cfg.ErrorHandler != nil {
			g.cfg.ErrorHandler(w, r, e)
			return
		}
		e.ServeHTTP(w, r)
	})
}

// check is Check, and returns the error in its own type: a nil *Error in an error would not be nil. w is nil if the
// caller writes the answer. g may be nil.
func (g *Gate) check(w http.ResponseWriter, r *http.Request) *Error {
	if g == nil || !g.made {
		return &Error{Err: ErrNotConfigured}
	}
	var about Request
	if err := g.decide(r, &about); err != nil {
		return g.refuse(w, r, &Error{Err: err, Principal: about.Principal, Resource: about.Resource})
	}
	if g.cfg.Observe != nil {
		g.tellAllowed(w, r, about.Principal)
	}
	return nil
}

// decide returns nil if the policies allow r, and else the cause. It sets in about what it has learned of r.
func (g *Gate) decide(r *http.Request, about *Request) error {
	if err := g.learn(r, about); err != nil {
		return err
	}
	// Policies may ask a database. So it comes last, and a request that is refused anyway does not reach it.
	s, err := g.policies(r)
	if err != nil {
		return err
	}
	if err := g.allows(&s, about); err != nil {
		return err
	}
	// http.ServeMux runs handlers of GET for HEAD, so a HEAD needs both.
	if get, head := g.api.asGET(about.Resource); head {
		about.Resource = get
		return g.allows(&s, about)
	}
	return nil
}

// learn sets what is known of r. It returns the cause if r is refused, whatever the policies say. It leaves the time
// out: the evaluator reads the clock if a policy asks for it. The method and the principal come first, so that the
// error of what follows can name them. Facts comes last, since it may change all else.
func (g *Gate) learn(r *http.Request, about *Request) (err error) {
	if about.Resource, err = g.api.method(r); err != nil {
		return err
	}
	if g.cfg.Principal != nil {
		principal, found := g.cfg.Principal(r)
		switch {
		case !found || principal == "": // without this, the caller would pass for the anonymous one of a resource policy
			return ErrNoPrincipal
		case strings.Count(principal, ":") < partsOfARN-1 || !strings.HasPrefix(principal, "arn:"):
			// Without an account, the caller would be refused for reasons that are hard to find.
			return fmt.Errorf("%w: Principal has returned %q, which is no ARN", ErrNotConfigured, clip(principal))
		}
		about.Principal = principal
	}
	address, found := g.cfg.Source.Addr(r)
	if !found { // without this, NotIpAddress would hold, as it does for every absent key
		return ErrNoAddress
	}
	about.SourceIP, about.SecureTransport = address, r.TLS != nil
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		about.UserAgent = agent[0] // as r.UserAgent, without making the name canonical once more
	}
	if g.cfg.SecureTransport != nil {
		about.SecureTransport = g.cfg.SecureTransport(r)
	}
	if g.cfg.Facts != nil {
		told := *about // a copy, so that about need not be on the heap
		g.cfg.Facts(r, &told)
		// These are what the gate is about, and a caller must not become another by a mistake in Facts.
		told.Action, told.Resource, told.Principal = "", about.Resource, about.Principal
		*about = told
		if !about.SourceIP.IsValid() && about.SourceVPCE == "" { // Facts may have set what it could not parse
			return ErrNoAddress
		}
	}
	return nil
}

// policies returns the policies that decide about r. The error wraps [ErrUnavailable] and what Policies has returned.
func (g *Gate) policies(r *http.Request) (s Set, err error) {
	if g.cfg.Policies != nil {
		if s, err = g.cfg.Policies(r); err != nil {
			return Set{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	s.Resource = nil // Policies is about the caller, and must not replace the API's own policy
	if g.cfg.Resource != nil {
		if s.Resource = g.cfg.Resource(); s.Resource == nil {
			s.Resource = &Policy{} // it matches nothing, but it is there
		}
	}
	return s, nil
}

// allows returns nil if the policies of s allow the method, and else what the policy is attached to that refuses it. It
// evaluates them again for that, which costs a refused request about as much as the decision.
func (g *Gate) allows(s *Set, about *Request) error {
	if Gateway(g.cfg.Authorization, s, about) == Allow {
		return nil
	}
	return why(g.cfg.Authorization, s, about)
}
