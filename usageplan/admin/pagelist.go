package admin

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallygate/tallygate/apikey"
)

// pageSize is how many rows a list of the page has.
const pageSize = 50

// The lists of keys, by their order. The position of a list has its letter; see position.
const (
	keysByName = "n"
	keysByLast = "l"
	keysByUse  = "s"
)

// A sorting is an order in which the overview lists keys. Whatever it is, only the keys that are shown are read from the
// ledger. The order of creation is the one that the verifier keeps. For the others, all keys in memory are gone through,
// which takes milliseconds for 100 000.
type sorting struct {
	name, text string
	list       string // of its positions
	keys       func(l *listing) ([]apikey.Key, string, error)
}

var sortings = []sorting{
	{"created", "Newest", keysList, (*listing).byCreation},
	{"name", "Name", keysByName, (*listing).byName},
	{"use", "Most used", keysByUse, (*listing).byUse},
	{"last", "Last used", keysByLast, (*listing).byLastUse},
}

// sortingOf returns the sorting of the name, or the first.
func sortingOf(name string) *sorting {
	i := slices.IndexFunc(sortings, func(s sorting) bool { return s.name == name })
	return &sortings[max(0, i)]
}

// A listing is one page of keys that a person asks for.
type listing struct {
	call    *call
	keys    *apikey.Verifier
	at      position
	search  string
	summary *summary // for the order of use; may be nil
}

// matches reports whether a key is one of those that are looked for: by the beginning of its name, or by its whole id or
// customer.
func (l *listing) matches(k apikey.Key) bool {
	return l.search == "" || strings.HasPrefix(k.Name, l.search) || k.CustomerID == l.search || k.ID == l.search
}

func (l *listing) byCreation() ([]apikey.Key, string, error) {
	return list(l.call, l.at, pageSize, func(before uint64, limit int) ([]apikey.Key, uint64) {
		return l.keys.Search(l.search, before, limit)
	}, func(k apikey.Key) (apikey.Key, bool) { return k, true })
}

// byName returns keys in the order of their names, without regard to case as people sort, and then of their ids.
func (l *listing) byName() ([]apikey.Key, string, error) {
	order := func(a, b place) int { return cmp.Or(compareFold(a.name, b.name), cmp.Compare(a.id, b.id)) }
	name, id, begun := cutLastByte(l.at.after, 0)
	return l.firstPage(order, begun, place{name: name, id: id}, func(k apikey.Key) place {
		return place{name: beginning(k.Name), id: k.ID}
	}, func(p place) position { return position{list: keysByName, after: p.name + "\x00" + p.id} })
}

// byLastUse returns keys with the one that was used last at first, and those that never were used at last.
func (l *listing) byLastUse() ([]apikey.Key, string, error) {
	order := func(a, b place) int { return cmp.Or(cmp.Compare(b.last, a.last), cmp.Compare(a.id, b.id)) }
	from := place{last: int64(l.at.before), id: l.at.after}
	return l.firstPage(order, from.id != "", from, func(k apikey.Key) place {
		return place{last: max(0, k.LastUsed.Unix()), id: k.ID}
	}, func(p place) position { return position{list: keysByLast, before: uint64(p.last), after: p.id} })
}

// byUse returns keys by what the summary says. Keys that were made since then come with the next summary.
func (l *listing) byUse() (page []apikey.Key, next string, err error) {
	if l.summary == nil {
		return nil, "", nil
	}
	uses := l.summary.uses
	if l.at.after != "" {
		from, err := useAt(l.at)
		if err != nil {
			return nil, "", err
		}
		uses = l.summary.after(from)
	}
	var last use
	for _, u := range uses {
		k, found := l.keys.Key(u.id)
		if !found || !l.matches(k) {
			continue
		}
		if len(page) == pageSize {
			return page, last.cursor().String(), nil
		}
		page, last = append(page, k), u
	}
	return page, "", nil
}

// A place is what an order looks at in a key.
type place struct {
	name, id string
	last     int64
}

// firstPage returns the first keys in an order, after the place from if the list has begun, and the position after them.
// It goes once through all keys. It keeps the places of ten pages at most: when they are full, all but the first page are
// dropped. So it sorts rarely, in whatever order the keys come.
func (l *listing) firstPage(
	order func(a, b place) int, begun bool, from place, placeOf func(apikey.Key) place, after func(place) position,
) (keys []apikey.Key, next string, err error) {
	const most = 10 * pageSize
	places := make([]place, 0, most)
	cut := func() bool { // leaves one more than a page, so that it is known whether there are more
		slices.SortFunc(places, order)
		more := len(places) > pageSize
		places = places[:min(len(places), pageSize+1)]
		return more
	}
	full := false // the last place that is kept bounds what may still come
	for k := range l.keys.Keys() {
		p := placeOf(k)
		if begun && order(p, from) <= 0 || full && order(p, places[pageSize]) >= 0 || !l.matches(k) {
			continue
		}
		if places = append(places, p); len(places) == most {
			full = cut()
		}
	}
	if cut() {
		places = places[:pageSize]
		next = after(places[pageSize-1]).String()
	}
	for _, p := range places {
		if k, found := l.keys.Key(p.id); found { // it may have been deleted meanwhile
			keys = append(keys, k)
		}
	}
	return keys, next, l.call.Err()
}

// maxPlaceName bounds the part of a name that its order looks at, so that a position with it stays below maxPosition.
const maxPlaceName = 256

// beginning returns the part of a name by which keys are ordered, in whole characters.
func beginning(name string) string {
	if len(name) <= maxPlaceName {
		return name
	}
	cut := maxPlaceName
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut]
}

// compareFold compares texts without regard to the case of ASCII letters, and then with regard to it.
func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Compare(lower(a[i]), lower(b[i])); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// cutLastByte cuts a text around the last byte of a value.
func cutLastByte(text string, at byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(text, at); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return "", text, false
}
