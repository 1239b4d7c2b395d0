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
	rows, err := apikey.ReadCSV(bytes.NewReader(c.body))
	if err != nil {
		return result{}, err
	}
	rows, err = s.config.Keys.Import(c, rows, apikey.ImportOptions{
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
	w := idsJSON{IDs: []string{}, Warnings: []string{}}
	for _, r := range rows {
		if r.Err != nil {
			w.Warnings = append(w.Warnings, r.Err.Error())
			continue
		}
		m.keys = append(m.keys, keyRow{Row: r, key: r.Key})
	}
	for _, k := range m.eachKey() {
		w.IDs = append(w.IDs, k.ID)
	}
	m.addPlansOfRows()
	return result{http.StatusCreated, w}, m.applyMembers(c)
}
