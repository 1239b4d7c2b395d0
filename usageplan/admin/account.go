package admin

import "net/http"

// accountJSON is the form of an account. apiKeyVersion is what accounts have today; clients show it and nothing else.
type accountJSON struct {
	Throttle   *limitJSON `json:"throttleSettings,omitempty"`
	Features   []string   `json:"features"`
	KeyVersion string     `json:"apiKeyVersion"`
}

// getAccount is GetAccount. Usage plans are always on. In API Gateway, accounts from before 2016 have to turn them on.
func (s *Server) getAccount(*call) (result, error) {
	w := accountJSON{Features: []string{"UsagePlans"}, KeyVersion: "4"}
	if l := s.config.AccountThrottle; l != nil {
		limit := writeLimit(*l)
		w.Throttle = &limit
	}
	return result{http.StatusOK, w}, nil
}

// updateAccount is UpdateAccount, which changes nothing; see patchAccount. The limits of the account are the program's.
func (s *Server) updateAccount(c *call) (result, error) {
	ops, err := parseOperations(c.body)
	if err != nil {
		return result{}, err
	}
	if err := patchAccount(ops); err != nil {
		return result{}, err
	}
	return s.getAccount(c)
}
