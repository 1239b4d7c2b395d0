package admin

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/apikey"
)

// importKeys is ImportApiKeys. A row is left out with a warning if it has a mistake, if one of its plans does not exist,
// and if its key would be in two plans for the same stage. With failonwarnings, nothing has changed then.
//
// The keys come first and their memberships after them, so that a process that ends in between leaves keys without
// plans, and never the reverse. To repeat the import completes it.
func (s *Server) importKeys(c *call) (result, error) {
	if mode := c.query.Get("mode"); mode != "import" {
		return result{}, badRequest("Invalid mode specified: %s", clip(mode))
	}
	if format := c.query.Get("format"); !strings.EqualFold(format, "csv") {
		return result{}, badRequest("Invalid format specified: %s", clip(format))
	}
	fail, err := c.flag("failonwarnings")
	if err != nil {
		return result{}, err
	}
	m := newMove(Transfer{Keys: s.config.Keys, Plans: s.config.Plans, FailOnWarnings: fail})
	join := m.joinRows()
	allowed := make(map[string]bool) // plans
	got, err := s.config.Keys.Import(c, bytes.NewReader(c.body), apikey.ImportOptions{
		FailOnWarnings: fail,
		Check: func(k apikey.Key, plans []string) error {
			for _, plan := range plans {
				if _, asked := allowed[plan]; !asked {
					allowed[plan] = s.mayJoin(c, plan)
				}
				if !allowed[plan] {
					return &apikey.Error{Err: apikey.ErrInvalid, Message: noPlan}
				}
			}
			return join(k.ID, plans...)
		},
	})
	if err != nil {
		return result{}, err
	}
	m.addFile("", got)
	w := idsJSON{IDs: []string{}, Warnings: append([]string{}, got.Warnings...)}
	for _, k := range got.Keys {
		w.IDs = append(w.IDs, k.ID)
	}
	return result{http.StatusCreated, w}, m.applyPlans(c)
}
