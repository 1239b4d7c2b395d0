package admin

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// The sizes of a page, which are API Gateway's
// (https://docs.aws.amazon.com/apigateway/latest/api/API_GetApiKeys.html).
const (
	defaultLimit = 25
	maxLimit     = 500
)

// page returns the parameters position and limit. The position must be one of the lists.
func (c *call) page(lists string, otherwise int) (at position, limit int, err error) {
	if limit, err = c.limit(otherwise); err != nil {
		return at, 0, err
	}
	at, err = c.position(lists)
	return at, limit, err
}

// limit returns the parameter limit. If it is not given or out of range, that is not an error: otherwise applies, as in
// API Gateway.
func (c *call) limit(otherwise int) (int, error) {
	text := c.query.Get("limit")
	n, err := strconv.Atoi(text)
	switch {
	case text != "" && errors.Is(err, strconv.ErrSyntax):
		return 0, badRequest("Invalid request input: parameter limit is not a number")
	case err != nil || n < 1 || n > maxLimit:
		return otherwise, nil
	}
	return n, nil
}

// A position is where a list goes on. Clients get it as an opaque text. It has no secret and is not signed: a client
// that makes one up reads the same list from another place, which it may read anyway. It does not contain the filters;
// a client sends them with each page, as SDKs do.
type position struct {
	list   string // which list it belongs to; see the constants
	before uint64 // the number in the order of creation, or another number that the list needs
	after  string // the id of what was listed last, in lists that go by ids
}

// The lists that have positions, by the operation. GetUsage goes through two.
const (
	keysList     = "k"
	plansList    = "p"
	planKeysList = "m"
	membersList  = "u" // the members of the plan
	departedList = "d" // the other clients that have used the plan
)

// maxPosition bounds what is accepted. A position has an id of at most 512 bytes, the longest of a client.
const maxPosition = 1024

func (p position) String() string {
	b := binary.BigEndian.AppendUint64([]byte(p.list), p.before)
	return base64.RawURLEncoding.EncodeToString(append(b, p.after...))
}

// position returns the parameter position. If it is not given, that is the start of the first list.
func (c *call) position(lists string) (position, error) {
	text := c.query.Get("position")
	if text == "" {
		return position{list: lists[:1]}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(text) > maxPosition || len(b) < 9 || !strings.Contains(lists, string(b[:1])) {
		return position{}, badRequest("Invalid position parameter specified")
	}
	return position{string(b[:1]), binary.BigEndian.Uint64(b[1:9]), string(b[9:])}, nil
}

// maxRounds bounds how often list asks for more, and so how long a search for something rare takes. A page may then be
// short, or even empty, although the list goes on.
const maxRounds = 1000

// list returns one page of a list that is in the order of creation, and the position after it, "" at the end. next
// returns at most limit items before a number, and the number to go on with. pick returns what the list has of an item,
// and whether it is to be listed.
//
// A position can only stand after all that next has returned. So if more of that is to be listed than the page has room
// for, list asks again, for no more than the room.
func list[T, W any](
	c *call, at position, limit int, next func(before uint64, limit int) ([]T, uint64), pick func(T) (W, bool),
) ([]W, string, error) {
	page, size := []W{}, limit
	for range maxRounds {
		items, before := next(at.before, size)
		picked := each(items, pick)
		if room := limit - len(page); len(picked) > room {
			size = room
			continue
		}
		page, size, at.before = append(page, picked...), maxLimit, before
		switch {
		case before == 0:
			return page, "", nil
		case len(page) == limit:
			return page, at.String(), nil
		case c.Err() != nil:
			return nil, "", c.Err()
		}
	}
	return page, at.String(), nil
}

// each returns what pick returns of the items that are to be listed.
func each[T, W any](items []T, pick func(T) (W, bool)) []W {
	var picked []W
	for _, item := range items {
		if w, listed := pick(item); listed {
			picked = append(picked, w)
		}
	}
	return picked
}
