package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

// Bounds of owner links and of the sessions that they open. Both kinds are few: a person opens them by hand. At the
// bound the oldest one goes, so that a person who has lost all links can always make another.
const (
	linkLife = 10 * time.Minute
	maxLinks = 64

	sessionLife = 12 * time.Hour
	sessionIdle = time.Hour
	maxSessions = 64
)

// linkActor is the name of a person who has signed in by an owner link, for the journals and for [Action].Actor. A link
// proves no more than that somebody could read what the program has printed.
const linkActor = "owner"

// OwnerLinks lets in the person who holds a link, for programs without a login of their own. A link is valid once and
// for ten minutes. It is exchanged for a session, which ends after twelve hours, after an hour without a request, and
// when its person signs out.
//
// The zero value is ready to use. It is safe for concurrent use, and must not be copied. It keeps digests of links and
// sessions, in memory only: after a restart, and in another process, they are not known.
type OwnerLinks struct {
	mu       sync.Mutex
	links    map[digest]time.Time // when each was made
	sessions map[digest]session
}

type digest [sha256.Size]byte

// A session is kept under the digest of its secret, so a dump of the memory opens none.
type session struct{ started, seen time.Time }

// passed returns how long ago a time was, by the clock that says more. A wall clock that is set back prolongs nothing, and
// neither does a machine that sleeps, while the monotonic clock of Linux and macOS stands still.
func passed(since time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// New returns a new link, relative to the path of the page: "sign-in?link=…". For example, of a page at
// https://admin.example/keys/ the link is https://admin.example/keys/sign-in?link=….
//
// The link opens the page to anyone who has it. Print it to the owner's terminal, or send it by a way that only the
// owner reads.
func (l *OwnerLinks) New() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.links == nil {
		l.links, l.sessions = make(map[digest]time.Time), make(map[digest]session)
	}
	dropOldest(l.links, maxLinks, func(made time.Time) time.Time { return made })
	secret := newSecret()
	l.links[digestOf(secret)] = time.Now()
	return signInPath + "?link=" + secret
}

// valid reports whether the link could be exchanged now. It does not consume it.
func (l *OwnerLinks) valid(link string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	made, found := l.links[digestOf(link)]
	return found && passed(made) < linkLife
}

// exchange ends the link and returns the secret of a new session. The secret is always new: one that the browser had
// before, perhaps from somebody else, is never raised to a session.
func (l *OwnerLinks) exchange(link string) (secret string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, now := digestOf(link), time.Now()
	made, found := l.links[id]
	delete(l.links, id)
	if !found || passed(made) >= linkLife {
		return "", false
	}
	dropOldest(l.sessions, maxSessions, func(s session) time.Time { return s.seen })
	secret = newSecret()
	l.sessions[digestOf(secret)] = session{now, now}
	return secret, true
}

// knows reports whether the secret is that of a session, which then is not idle.
func (l *OwnerLinks) knows(secret string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := digestOf(secret)
	s, found := l.sessions[id]
	if !found {
		return false
	}
	if passed(s.started) >= sessionLife || passed(s.seen) >= sessionIdle {
		delete(l.sessions, id)
		return false
	}
	s.seen = time.Now()
	l.sessions[id] = s
	return true
}

// end ends the session of the secret.
func (l *OwnerLinks) end(secret string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, digestOf(secret))
}

// dropOldest makes room for one more item below the bound.
func dropOldest[T any](of map[digest]T, bound int, age func(T) time.Time) {
	for len(of) >= bound {
		var oldest digest
		var since time.Time
		for id, item := range of {
			if at := age(item); since.IsZero() || at.Before(since) {
				oldest, since = id, at
			}
		}
		delete(of, oldest)
	}
}

// digestOf returns the name under which a secret is kept. The time of a look-up tells nothing about secrets: a guess
// that is nearly right has another digest altogether.
func digestOf(secret string) digest { return sha256.Sum256([]byte(secret)) }

// newSecret returns 256 random bits in a form that URLs, cookies and forms carry as it is.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
